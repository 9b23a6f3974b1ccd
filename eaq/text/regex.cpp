#include <algorithm>

#include "eaq/text/regex.h"

#include <unicode/regex.h>
#include <unicode/utext.h>

#include "eaq/base/base.h"

namespace eaq::text {
namespace {

// Oniguruma's \w, which lacks the two joiners of ICU's.
constexpr std::string_view word = "[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}]", not_word = "[^\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}]";

// ICU's \s lacks U+000B and U+0085; Oniguruma's is White_Space. \h is a hexadecimal digit to one and a blank to the other.
std::string for_icu(std::string_view pattern, const std::string& file) {
  std::string out;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '\\' || i + 1 == pattern.size()) {
      out += pattern[i];
      continue;
    }
    const char next = pattern[++i];
    if (next == 's') {
      out += "\\p{White_Space}";
    } else if (next == 'S') {
      out += "\\P{White_Space}";
    } else if (next == 'w') {
      out += word;
    } else if (next == 'W') {
      out += not_word;
    } else if (next == 'h' || next == 'H') {
      throw Error(ErrorKind::input,
                  printable(file) + ": the regular expression '" + printable(pattern) + "' has \\h, which is not supported");
    } else {
      (out += '\\') += next;
    }
  }
  return out;
}

}  // namespace

struct Regex::Compiled {
  std::unique_ptr<icu::RegexPattern> pattern;
  std::string source, file;
};

Regex::~Regex() = default;
Regex::Regex(Regex&&) noexcept = default;

Regex::Regex(std::string_view pattern, const std::string& file) : compiled_(std::make_unique<Compiled>()) {
  UErrorCode status = U_ZERO_ERROR;
  UParseError where{};
  compiled_->source = pattern;
  compiled_->file = file;
  const auto source = icu::UnicodeString::fromUTF8(for_icu(pattern, file));
  compiled_->pattern.reset(icu::RegexPattern::compile(source, UREGEX_MULTILINE, where, status));
  if (U_FAILURE(status))
    throw Error(ErrorKind::input, printable(file) + ": the regular expression '" + printable(pattern) + "' is not supported (" +
                                      u_errorName(status) + ")");
}

void Regex::each_match(std::string_view text, const std::function<void(std::size_t, std::size_t)>& found) const {
  UErrorCode status = U_ZERO_ERROR;
  UText* input = utext_openUTF8(nullptr, text.data(), static_cast<std::int64_t>(text.size()), &status);
  std::unique_ptr<icu::RegexMatcher> matcher(compiled_->pattern->matcher(status));
  if (U_SUCCESS(status)) {
    constexpr std::int32_t time_limit = 1000;  // ICU's steps, about a millisecond each, for one match
    matcher->setTimeLimit(time_limit, status);
    matcher->reset(input);
    while (U_SUCCESS(status) && matcher->find(status) && U_SUCCESS(status))
      found(static_cast<std::size_t>(matcher->start64(status)), static_cast<std::size_t>(matcher->end64(status)));
  }
  utext_close(input);
  if (U_FAILURE(status))
    throw Error(ErrorKind::input, printable(compiled_->file) + ": the regular expression '" + printable(compiled_->source) +
                                      "' failed on the text (" + u_errorName(status) + ")");
}

}  // namespace eaq::text

#include "eaq/text/unicode.h"

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/uniset.h>

#include <algorithm>
#include <limits>
#include <map>

#include "eaq/base/base.h"

namespace eaq::text {
namespace {

constexpr std::size_t block_size = 128;

// Blocks that are equal are stored once: most of the code space is.
template <class T, std::size_t N>
std::vector<T> fold(const std::vector<T>& flat, std::array<std::uint16_t, N>& block) {
  std::vector<T> stored;
  std::map<T, std::uint16_t> uniform;
  std::uint16_t count = 0;
  for (std::size_t b = 0; b < N; ++b) {
    const T* const first = flat.data() + b * block_size;
    const bool same = std::equal(first + 1, first + block_size, first);
    if (const auto known = uniform.find(*first); same && known != uniform.end()) {
      block[b] = known->second;
      continue;
    }
    if (same) uniform.emplace(*first, count);
    stored.insert(stored.end(), first, first + block_size);
    block[b] = count++;
  }
  return stored;
}

const icu::Normalizer2& normalizer(Form form) {
  // Filtered: ICU knows a later Unicode, and a different one in each Debian.
  static const auto make = [](const icu::Normalizer2* (*full)(UErrorCode&)) {
    UErrorCode status = U_ZERO_ERROR;
    static const icu::UnicodeSet* const known = [] {
      UErrorCode failed = U_ZERO_ERROR;
      auto set = new icu::UnicodeSet(UNICODE_STRING_SIMPLE("[:Age=9.0:]"), failed);
      if (U_FAILURE(failed)) throw Error(ErrorKind::bug, "ICU does not know the property Age");
      set->freeze();
      return set;
    }();
    const icu::Normalizer2* base = full(status);
    if (U_FAILURE(status)) throw Error(ErrorKind::bug, std::string("ICU has no normalization data: ") + u_errorName(status));
    return new icu::FilteredNormalizer2(*base, *known);
  };
  switch (form) {
    case Form::nfc: {
      static const auto* const n = make(&icu::Normalizer2::getNFCInstance);
      return *n;
    }
    case Form::nfd: {
      static const auto* const n = make(&icu::Normalizer2::getNFDInstance);
      return *n;
    }
    case Form::nfkc: {
      static const auto* const n = make(&icu::Normalizer2::getNFKCInstance);
      return *n;
    }
    case Form::nfkd:
      break;
  }
  static const auto* const n = make(&icu::Normalizer2::getNFKDInstance);
  return *n;
}

}  // namespace

const CharacterTable& CharacterTable::instance() {
  static const CharacterTable table;
  return table;
}

CharacterTable::CharacterTable() {
  std::vector<std::uint16_t> flat(0x110000);
  for (std::size_t i = 0; i < class_run_count; ++i) {
    const std::size_t first = class_runs[i] >> 10;
    const std::size_t end = i + 1 < class_run_count ? class_runs[i + 1] >> 10 : flat.size();
    std::fill(flat.begin() + static_cast<std::ptrdiff_t>(first), flat.begin() + static_cast<std::ptrdiff_t>(end),
              static_cast<std::uint16_t>(class_runs[i] & 0x3ff));
  }
  classes_ = fold(flat, block_);
  std::vector<std::int32_t> differences(0x20000);
  for (char32_t c = 'A'; c <= 'Z'; ++c) differences[c] = 32;
  for (std::size_t i = 0; i < lower_run_count; ++i) {
    const LowerRun& run = lower_runs[i];
    for (char32_t c = run.first; c <= run.last; c += static_cast<char32_t>(run.step)) differences[c] = run.difference;
  }
  differences_ = fold(differences, lower_block_);
}

void append_lower(char32_t c, const CharacterTable& table, std::string& to) {
  if (c == 0x130) {
    to += "i\xcc\x87";
    return;
  }
  append_utf8(table.lower(c), to);
}

void append_normalized(Form form, std::string_view text, std::string& to) {
  if (text.size() > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()))
    throw Error(ErrorKind::input,
                "a text of " + std::to_string(text.size()) + " bytes: at most 2147483647 can be normalized at once");
  UErrorCode status = U_ZERO_ERROR;
  icu::StringByteSink<std::string> sink(&to);
  normalizer(form).normalizeUTF8(0, icu::StringPiece(text.data(), static_cast<std::int32_t>(text.size())), sink, nullptr, status);
  if (U_FAILURE(status)) throw Error(ErrorKind::bug, std::string("Unicode normalization failed: ") + u_errorName(status));
}

}  // namespace eaq::text

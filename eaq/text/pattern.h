// What separates pieces of text: a class of characters, a string or a regular expression; and what becomes of the separators.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "eaq/text/json_fwd.h"
#include "eaq/text/regex.h"
#include "eaq/text/unicode.h"

namespace eaq::text {

/// Contiguous parts that cover a text, each matched or not.
struct Part {
  std::size_t begin, end;
  bool match;
};

/// A `pattern` section: {"String": ...} or {"Regex": ...}.
class Pattern {
 public:
  Pattern(const Json& section, const std::string& file);
  /// Appends the parts of `text`, none for an empty text.
  void parts(std::string_view text, std::vector<Part>& to) const;

 private:
  std::string literal_;
  std::optional<Regex> regex_;
};

/// The parts of `text` where a match is one character with one of the classes in `mask`.
void parts_by_class(std::string_view text, const CharacterTable& table, unsigned mask, std::vector<Part>& to);
void parts_by_literal(std::string_view text, std::string_view literal, std::vector<Part>& to);

enum class Behavior : std::uint8_t { removed, isolated, merged_with_previous, merged_with_next, contiguous };
Behavior read_behavior(const Json& section, const char* key, const std::string& file,
                       std::optional<Behavior> fallback = std::nullopt);

using Span = std::pair<std::size_t, std::size_t>;

/// Appends the pieces that `parts` leave, moved by `offset`; empty ones are left out.
void split(const std::vector<Part>& parts, Behavior behavior, std::size_t offset, std::vector<Span>& to);

}  // namespace eaq::text

// What Hugging Face `tokenizers` takes each code point for, and the Unicode operations that its normalizers use.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "eaq/text/utf8.h"

namespace eaq::text {

/// Classes of a code point, as bits. Each is the library's own notion: see scripts/make_tokenizer_unicode_table.py.
enum Class : std::uint16_t {
  is_letter = 1,             ///< \p{L} of the byte-level splitting pattern
  is_number = 2,             ///< \p{N} of the same
  is_space = 4,              ///< White_Space
  is_word = 8,               ///< \w of the Whitespace pre-tokenizer and of single-word added tokens
  is_numeric = 16,           ///< Rust's char::is_numeric
  is_punctuation = 32,       ///< ASCII punctuation, and categories P* of Unicode 9
  is_removed = 64,           ///< what BertNormalizer's clean_text takes away
  is_nonspacing_mark = 128,  ///< category Mn of Unicode 9
  is_combining_mark = 256,   ///< categories M* of Unicode 9
  changes_in_nfd = 512,      ///< has a canonical decomposition, or may trade places with a neighbour
};

/// The generated table.
struct LowerRun {
  char32_t first, last;
  int step, difference;
};
extern const std::uint32_t class_runs[];
extern const std::size_t class_run_count;
extern const LowerRun lower_runs[];
extern const std::size_t lower_run_count;

/// The generated runs, unfolded for constant-time look-up.
class CharacterTable {
 public:
  static const CharacterTable& instance();
  std::uint16_t classes(char32_t c) const { return classes_[static_cast<std::size_t>(block_[c >> 7]) << 7 | (c & 127)]; }
  bool is(char32_t c, unsigned mask) const { return (classes(c) & mask) != 0; }
  /// The simple lower-case mapping. U+0130 becomes two code points and is the caller's to treat.
  char32_t lower(char32_t c) const {
    return c >= 0x20000
               ? c
               : c + static_cast<char32_t>(differences_[static_cast<std::size_t>(lower_block_[c >> 7]) << 7 | (c & 127)]);
  }

 private:
  CharacterTable();
  std::array<std::uint16_t, 0x110000 / 128> block_{};
  std::array<std::uint16_t, 0x20000 / 128> lower_block_{};
  std::vector<std::uint16_t> classes_;
  std::vector<std::int32_t> differences_;
};

inline bool is_chinese(char32_t c) {
  return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x20000 && c <= 0x2a6df) ||
         (c >= 0x2a700 && c <= 0x2b73f) || (c >= 0x2b740 && c <= 0x2b81f) || (c >= 0x2b920 && c <= 0x2ceaf) ||
         (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

void append_lower(char32_t c, const CharacterTable& table, std::string& to);

enum class Form : std::uint8_t { nfc, nfd, nfkc, nfkd };

/// Appends `text`, normalized as of Unicode 9: later code points pass unchanged, as they do in the library.
void append_normalized(Form form, std::string_view text, std::string& to);

}  // namespace eaq::text

// GPT-2's splitting pattern, by hand:
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// The alternatives cover every text, so that the pieces are contiguous.
#pragma once

#include <array>
#include <string_view>

#include "eaq/text/unicode.h"

namespace eaq::text {

class Gpt2Splitter {
 public:
  Gpt2Splitter() : table_(CharacterTable::instance()) {
    for (char32_t c = 0; c < 0x80; ++c) ascii_[c] = static_cast<std::uint8_t>(table_.classes(c) & mask);
    for (std::size_t c = 0x80; c < 0x100; ++c) ascii_[c] = beyond_ascii;
  }

  template <class Emit>
  void operator()(std::string_view text, Emit emit) const {
    const char *p = text.data(), *const end = p + text.size();
    while (p < end) {
      const char* next = *p == '\'' ? contraction(p, end) : p;
      if (next == p) next = piece(p, end);
      emit(std::string_view(p, static_cast<std::size_t>(next - p)));
      p = next;
    }
  }

 private:
  static constexpr unsigned mask = is_letter | is_number | is_space;  // none of them: the fourth kind
  static constexpr std::uint8_t beyond_ascii = 0xff;

  unsigned kind(const char* p, std::uint32_t& bytes) const {
    const std::uint8_t known = ascii_[static_cast<unsigned char>(*p)];
    if (known != beyond_ascii) return bytes = 1, known;
    const CodePoint c = code_point_at(p);
    bytes = c.bytes;
    return table_.classes(c.value) & mask;
  }

  static const char* contraction(const char* p, const char* end) {
    if (end - p < 2) return p;
    if (p[1] == 's' || p[1] == 't' || p[1] == 'm' || p[1] == 'd') return p + 2;
    if (end - p < 3) return p;
    const bool long_one = (p[1] == 'r' && p[2] == 'e') || (p[1] == 'v' && p[2] == 'e') || (p[1] == 'l' && p[2] == 'l');
    return long_one ? p + 3 : p;
  }

  const char* piece(const char* p, const char* end) const {
    const char* first = *p == ' ' && p + 1 < end ? p + 1 : p;
    std::uint32_t bytes;
    const unsigned wanted = kind(first, bytes);
    if (wanted == is_space) return spaces(p, end);
    first += bytes;
    while (first < end && kind(first, bytes) == wanted) first += bytes;
    return first;
  }

  // All spaces at the end of the text; otherwise all but the last, which may belong to the next word; one alone is a piece.
  const char* spaces(const char* p, const char* end) const {
    const char *next = p, *last = p;
    std::uint32_t bytes;
    while (next < end && kind(next, bytes) == is_space) last = next, next += bytes;
    return next == end || last == p ? next : last;
  }

  const CharacterTable& table_;
  std::array<std::uint8_t, 256> ascii_{};
};

}  // namespace eaq::text

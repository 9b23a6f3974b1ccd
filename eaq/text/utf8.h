// UTF-8, for this floor. Everything behind `well_formed` may rely on well-formed text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace eaq::text {

struct CodePoint {
  char32_t value;
  std::uint32_t bytes;
};

/// The code point at `p` of well-formed text.
inline CodePoint code_point_at(const char* p) {
  const auto b = reinterpret_cast<const unsigned char*>(p);
  if (b[0] < 0x80) return {b[0], 1};
  if (b[0] < 0xe0) return {static_cast<char32_t>((b[0] & 0x1f) << 6 | (b[1] & 0x3f)), 2};
  if (b[0] < 0xf0) return {static_cast<char32_t>((b[0] & 0x0f) << 12 | (b[1] & 0x3f) << 6 | (b[2] & 0x3f)), 3};
  return {static_cast<char32_t>((b[0] & 0x07) << 18 | (b[1] & 0x3f) << 12 | (b[2] & 0x3f) << 6 | (b[3] & 0x3f)), 4};
}

/// The code point that ends before `end` of well-formed, non-empty text.
inline CodePoint code_point_before(const char* end) {
  const char* p = end - 1;
  while ((static_cast<unsigned char>(*p) & 0xc0) == 0x80) --p;
  return code_point_at(p);
}

void append_utf8(char32_t c, std::string& to);

std::size_t count_code_points(std::string_view text);

/// `text` itself where it is well-formed, else a copy in `storage` with U+FFFD for each maximal ill-formed part (the Unicode
/// standard's "substitution of maximal subparts": what Python's and Rust's lossy decoders do).
std::string_view well_formed(std::string_view text, std::string& storage);

}  // namespace eaq::text

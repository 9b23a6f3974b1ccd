#include "eaq/text/utf8.h"

#include <cstring>

namespace eaq::text {
namespace {

// Length of the well-formed sequence at `p`, or minus the length of the ill-formed part to replace (table 3-7 of the standard).
int sequence_length(const unsigned char* p, const unsigned char* end) {
  const unsigned char first = *p;
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4) return -1;
  const int length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  unsigned char low = 0x80, high = 0xbf;
  if (first == 0xe0) low = 0xa0;
  if (first == 0xed) high = 0x9f;
  if (first == 0xf0) low = 0x90;
  if (first == 0xf4) high = 0x8f;
  for (int i = 1; i < length; ++i) {
    if (p + i == end || p[i] < low || p[i] > high) return -i;
    low = 0x80, high = 0xbf;
  }
  return length;
}

// The first ill-formed byte at or after `p`, or `end`.
const unsigned char* find_ill_formed(const unsigned char* p, const unsigned char* end) {
  while (p < end) {
    while (end - p >= 8) {  // most text is ASCII
      std::uint64_t word;
      std::memcpy(&word, p, 8);
      if ((word & 0x8080808080808080u) != 0) break;
      p += 8;
    }
    if (p == end) return end;
    const int length = sequence_length(p, end);
    if (length < 0) return p;
    p += length;
  }
  return end;
}

}  // namespace

void append_utf8(char32_t c, std::string& to) {
  const auto byte = [&to](char32_t b) { to.push_back(static_cast<char>(b)); };
  if (c < 0x80) return byte(c);
  if (c < 0x800) return byte(0xc0 | c >> 6), byte(0x80 | (c & 0x3f));
  if (c < 0x10000) return byte(0xe0 | c >> 12), byte(0x80 | (c >> 6 & 0x3f)), byte(0x80 | (c & 0x3f));
  byte(0xf0 | c >> 18), byte(0x80 | (c >> 12 & 0x3f)), byte(0x80 | (c >> 6 & 0x3f)), byte(0x80 | (c & 0x3f));
}

std::size_t count_code_points(std::string_view text) {
  std::size_t n = 0;
  for (const char c : text) n += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  return n;
}

std::string_view well_formed(std::string_view text, std::string& storage) {
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  const auto* const end = p + text.size();
  const auto* bad = find_ill_formed(p, end);
  if (bad == end) return text;
  storage.clear();
  while (true) {
    storage.append(reinterpret_cast<const char*>(p), static_cast<std::size_t>(bad - p));
    if (bad == end) return storage;
    storage += "\xef\xbf\xbd";
    p = bad - sequence_length(bad, end);
    bad = find_ill_formed(p, end);
  }
}

}  // namespace eaq::text

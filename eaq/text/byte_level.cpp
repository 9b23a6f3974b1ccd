#include "eaq/text/byte_level.h"

#include "eaq/text/utf8.h"

namespace eaq::text {

const ByteAlphabet& byte_alphabet() {
  static const ByteAlphabet alphabet = [] {
    ByteAlphabet a;
    a.bytes.fill(-1);
    char32_t substitute = 256;  // bytes without a printable code point of their own take the next from here on
    for (std::size_t b = 0; b < 256; ++b) {
      const bool printable = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
      a.code_points[b] = printable ? static_cast<char32_t>(b) : substitute++;
      a.bytes[a.code_points[b]] = static_cast<std::int16_t>(b);
    }
    return a;
  }();
  return alphabet;
}

void append_byte_level(std::string_view bytes, std::string& to) {
  for (const char b : bytes) append_utf8(byte_alphabet().code_points[static_cast<unsigned char>(b)], to);
}

bool append_bytes_of(std::string_view token, std::string& to) {
  const ByteAlphabet& alphabet = byte_alphabet();
  const std::size_t before = to.size();
  for (std::size_t at = 0; at < token.size();) {
    const CodePoint c = code_point_at(token.data() + at);
    if (c.value >= alphabet.bytes.size() || alphabet.bytes[c.value] < 0) return to.resize(before), false;
    to.push_back(static_cast<char>(alphabet.bytes[c.value]));
    at += c.bytes;
  }
  return true;
}

}  // namespace eaq::text

// GPT-2's byte-level alphabet: each byte has a printable code point, so that any bytes can be written as text.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace eaq::text {

struct ByteAlphabet {
  std::array<char32_t, 256> code_points{};
  std::array<std::int16_t, 512> bytes{};  ///< by code point; -1 outside the alphabet
};

const ByteAlphabet& byte_alphabet();

void append_byte_level(std::string_view bytes, std::string& to);

/// Appends the bytes that a byte-level token stands for; false (and nothing appended) where it has other characters.
bool append_bytes_of(std::string_view token, std::string& to);

}  // namespace eaq::text

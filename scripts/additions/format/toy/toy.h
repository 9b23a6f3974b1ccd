// toy: the upper 16 bits of an fp32, cut off instead of rounded. An example of a format, dropped in by scripts/check_additions;
// bf16 has the same layout and half the error.
//
// In memory: row-major [out, in], two bytes a weight, little-endian: sign, 8 bits of exponent, 7 of mantissa. No scales.
#pragma once

#include <bit>
#include <cstdint>

namespace eaq::format_toy {

inline std::uint16_t encode(float value) { return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16); }
inline float decode(std::uint16_t bits) { return std::bit_cast<float>(std::uint32_t{bits} << 16); }

}  // namespace eaq::format_toy

// CUDA's 16-bit floats for the emulated card. All conversions round to nearest even; NaN becomes 0x7fff, as on a card.
#pragma once

#include <cuda_runtime.h>

#include <bit>
#include <cstdint>

struct alignas(2) __half {
  std::uint16_t bits;

  __half() = default;
  __half(float value) : bits(value != value ? 0x7fff : std::bit_cast<std::uint16_t>(static_cast<_Float16>(value))) {}  // NOLINT
  operator float() const {                                                                                             // NOLINT
    // The exponent moves to its place, and by 112: subnormals are put right by the product.
    const std::uint32_t magnitude = (bits & 0x7fffu) << 13, sign = (bits & 0x8000u) << 16;
    const std::uint32_t finite = std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) * 0x1p112f);
    return std::bit_cast<float>(sign | ((bits & 0x7c00) == 0x7c00 ? magnitude | 0x7f800000u : finite));
  }
};

struct alignas(4) __half2 {
  __half x, y;
};

inline __half __float2half(float value) { return __half(value); }
inline __half __float2half_rn(float value) { return __half(value); }
inline float __half2float(__half value) { return value; }
inline __half2 __floats2half2_rn(float x, float y) { return {__half(x), __half(y)}; }
inline __half2 __float22half2_rn(float2 value) { return {__half(value.x), __half(value.y)}; }
inline __half2 __halves2half2(__half x, __half y) { return {x, y}; }
inline float2 __half22float2(__half2 value) { return {value.x, value.y}; }
inline float __low2float(__half2 value) { return value.x; }
inline float __high2float(__half2 value) { return value.y; }
inline __half __low2half(__half2 value) { return value.x; }
inline __half __high2half(__half2 value) { return value.y; }
inline unsigned short __half_as_ushort(__half value) { return value.bits; }
inline __half __ushort_as_half(unsigned short bits) { return std::bit_cast<__half>(bits); }

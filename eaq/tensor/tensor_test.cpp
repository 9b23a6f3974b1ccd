#include "eaq/tensor/tensor.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "eaq/base/base.h"

namespace eaq {
namespace {

template <class F>
std::string error_of(F&& f, ErrorKind kind) {
  try {
    f();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), kind);
    return e.what();
  }
  return "no error";
}

/// The value of a binary floating-point number with `fraction` bits after the point, from its definition (IEEE 754, 3.4).
double value_of(unsigned bits, int exponent_bits, int fraction, bool has_infinity = true) {
  const int all_ones = (1 << exponent_bits) - 1, bias = all_ones / 2;
  const int exponent = static_cast<int>(bits >> fraction) & all_ones, mantissa = static_cast<int>(bits) & ((1 << fraction) - 1);
  const double sign = bits >> (exponent_bits + fraction) & 1 ? -1 : 1;
  if (exponent == all_ones && has_infinity) return mantissa ? std::nan("") : sign * std::numeric_limits<double>::infinity();
  if (exponent == 0) return sign * std::ldexp(mantissa, 1 - bias - fraction);
  return sign * std::ldexp(mantissa + (1 << fraction), exponent - bias - fraction);
}

/// Everything about a 16-bit type T that follows from its widths.
template <class T>
void expect_conversions(int exponent_bits, int fraction) {
  const auto with = [](unsigned bits) {
    T v;
    v.bits = static_cast<std::uint16_t>(bits);
    return v;
  };
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    const double expected = value_of(bits, exponent_bits, fraction);
    const float wide = static_cast<float>(with(bits));
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(wide)) << bits;
      ASSERT_TRUE(std::isnan(static_cast<float>(T(wide)))) << bits;
      continue;
    }
    ASSERT_EQ(static_cast<double>(wide), expected) << bits;
    ASSERT_EQ(std::signbit(wide), bits >> 15 == 1) << bits;
    ASSERT_EQ(T(wide).bits, bits) << "there and back";
  }
  // Between neighbours: nearest, and the even one from the middle. Past the largest, infinity stands for the next power of two.
  const unsigned infinity = ((1u << exponent_bits) - 1) << fraction;
  for (unsigned bits = 0; bits < infinity; ++bits) {
    const double low = value_of(bits, exponent_bits, fraction);
    const double high =
        bits + 1 < infinity ? value_of(bits + 1, exponent_bits, fraction) : std::ldexp(1.0, 1 << (exponent_bits - 1));
    const auto middle = static_cast<float>((low + high) / 2);
    if (static_cast<double>(middle) != (low + high) / 2) continue;  // bf16's smallest have no middle in f32
    const unsigned even = bits + (bits & 1);
    ASSERT_EQ(T(middle).bits, even) << bits;
    ASSERT_EQ(T(std::nextafter(middle, 0.0f)).bits, bits) << bits;
    ASSERT_EQ(T(std::nextafter(middle, std::numeric_limits<float>::infinity())).bits, bits + 1) << bits;
    ASSERT_EQ(T(-middle).bits, even | 0x8000) << bits;
  }
}

TEST(F16, AllConversionsAreThoseOfBinary16) { expect_conversions<f16>(5, 10); }
TEST(BF16, AllConversionsAreThoseOfTheUpperHalfOfF32) { expect_conversions<bf16>(8, 7); }

TEST(F16, KnownValues) {
  EXPECT_EQ(f16(1.0f).bits, 0x3C00);
  EXPECT_EQ(f16(65504.0f).bits, 0x7BFF);
  EXPECT_EQ(f16(65519.99f).bits, 0x7BFF);
  EXPECT_EQ(f16(65520.0f).bits, 0x7C00);
  EXPECT_EQ(f16(5.9604645e-8f).bits, 0x0001);
  EXPECT_EQ(f16(2.9802322e-8f).bits, 0x0000) << "half of the smallest, to even";
  EXPECT_EQ(f16(-0.0f).bits, 0x8000);
  EXPECT_EQ(f16(-1e30f).bits, 0xFC00);
}

TEST(BF16, KnownValues) {
  EXPECT_EQ(bf16(1.0f).bits, 0x3F80);
  EXPECT_EQ(bf16(std::numeric_limits<float>::max()).bits, 0x7F80);
  EXPECT_EQ(bf16(std::bit_cast<float>(0x7F7F7FFFu)).bits, 0x7F7F);
  EXPECT_EQ(bf16(std::bit_cast<float>(0x7F800001u)).bits, 0x7FC0) << "a NaN whose upper half looks like infinity";
}

std::vector<float> widened(DType dtype) {
  Tensor all(dtype, {256});
  for (int i = 0; i < 256; ++i) all.buffer.data()[i] = static_cast<std::byte>(i);
  return to_f32(all.view());
}

TEST(F8, E5M2FollowsIeee) {
  const auto values = widened(DType::f8_e5m2);
  for (unsigned i = 0; i < 256; ++i) {
    const double expected = value_of(i, 5, 2);
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(values[i])) << i;
    } else {
      EXPECT_EQ(values[i], static_cast<float>(expected)) << i;
    }
  }
  EXPECT_EQ(values[0x7B], 57344);
  EXPECT_EQ(values[0x7C], std::numeric_limits<float>::infinity());
  EXPECT_EQ(values[0x01], std::ldexp(1.0f, -16));
}

TEST(F8, E4M3HasNoInfinityAndOneNan) {
  const auto values = widened(DType::f8_e4m3);
  for (unsigned i = 0; i < 256; ++i) {
    if ((i & 0x7F) == 0x7F) {
      EXPECT_TRUE(std::isnan(values[i])) << i;
    } else {
      EXPECT_EQ(values[i], static_cast<float>(value_of(i, 4, 3, false))) << i;
    }
  }
  EXPECT_EQ(values[0x7E], 448);
  EXPECT_EQ(values[0xFE], -448);
  EXPECT_EQ(values[0x08], std::ldexp(1.0f, -6));
  EXPECT_EQ(values[0x01], std::ldexp(1.0f, -9));
  EXPECT_TRUE(std::signbit(values[0x80]));
}

TEST(ToF32, RoundsDoublesAndRefusesIntegers) {
  const Tensor doubles(Shape{2}, std::span<const double>(std::vector<double>{0.1, -2}));
  EXPECT_EQ(to_f32(doubles.view()), (std::vector<float>{0.1f, -2}));
  const Tensor integers(Shape{1}, std::span<const std::int32_t>(std::vector<std::int32_t>{1}));
  EXPECT_EQ(error_of([&] { to_f32(integers.view()); }, ErrorKind::input), "a tensor of I32 where floating point is needed");
  std::vector<float> three(3);
  EXPECT_EQ(error_of([&] { to_f32(doubles.view(), three); }, ErrorKind::bug), "to_f32: sizes differ");
}

TEST(Elements, IsTheProduct) {
  EXPECT_EQ(elements({}), 1);
  EXPECT_EQ(elements({2, 3, 4}), 24);
  EXPECT_EQ(elements({5, 0}), 0);
  EXPECT_EQ(elements({std::int64_t{1} << 62}), std::int64_t{1} << 62);
}

TEST(Elements, OverflowAndNegativeDimensionsAreErrors) {
  EXPECT_EQ(error_of(
                [] {
                  elements({4294967296, 4294967296});
                },
                ErrorKind::input),
            "shape [4294967296, 4294967296] is negative or too large");
  EXPECT_EQ(error_of(
                [] {
                  elements({std::int64_t{1} << 62, 2});
                },
                ErrorKind::input),
            "shape [4611686018427387904, 2] is negative or too large");
  EXPECT_EQ(error_of([] { elements({2, -1}); }, ErrorKind::input), "shape [2, -1] is negative or too large");
}

TEST(DTypes, NamesLeadBackToTheirTypes) {
  for (int i = 0; i <= static_cast<int>(DType::boolean); ++i) {
    const auto dtype = static_cast<DType>(i);
    DType found = DType::f64;
    ASSERT_TRUE(dtype_from_name(name_of(dtype), found)) << i;
    EXPECT_EQ(found, dtype);
    EXPECT_GT(size_of(dtype), 0u);
  }
  DType untouched = DType::u8;
  for (const char* name : {"", "f32", "F33", "F4", "F32 "}) EXPECT_FALSE(dtype_from_name(name, untouched)) << name;
  EXPECT_EQ(untouched, DType::u8);
}

TEST(DTypes, SizesAreThoseOfTheirElements) {
  EXPECT_EQ(size_of(dtype_of<double>()), sizeof(double));
  EXPECT_EQ(size_of(dtype_of<float>()), sizeof(float));
  EXPECT_EQ(size_of(dtype_of<f16>()), sizeof(f16));
  EXPECT_EQ(size_of(dtype_of<std::int64_t>()), 8u);
  EXPECT_EQ(size_of(DType::f8_e4m3), 1u);
  EXPECT_TRUE(is_float(DType::bf16));
  EXPECT_FALSE(is_float(DType::boolean));
}

TEST(TensorView, IsReadAsItsOwnTypeOnly) {
  const Tensor t(Shape{2}, std::span<const float>(std::vector<float>{1, 2}));
  EXPECT_EQ(t.as<float>()[1], 2);
  EXPECT_EQ(error_of([&] { t.view().as<std::int32_t>(); }, ErrorKind::bug), "a tensor of F32 read as I32");
  EXPECT_EQ(t.view().bytes().size(), 8u);
}

TEST(Buffer, IsAlignedToACacheLine) {
  for (std::size_t bytes : {0u, 1u, 63u, 64u, 1000u}) {
    const Buffer buffer(bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 64, 0u);
    EXPECT_EQ(buffer.size(), bytes);
  }
}

TEST(Buffer, BeginsAtAHugePageWhereItFillsOne) {
  constexpr std::size_t huge_page = std::size_t{2} << 20;
  for (const std::size_t bytes : {huge_page, 3 * huge_page + 5}) {
    Buffer buffer(bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % huge_page, 0u);
    std::memset(buffer.data(), 7, bytes);
    Buffer moved = std::move(buffer);
    EXPECT_EQ(moved.data()[bytes - 1], std::byte{7});
  }
}

TEST(Shape, PrintsAsAList) {
  EXPECT_EQ(to_string(Shape{}), "[]");
  EXPECT_EQ(to_string(Shape{2, 3}), "[2, 3]");
}

}  // namespace
}  // namespace eaq

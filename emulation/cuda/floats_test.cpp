// The 16-bit floats, and the mathematics.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

namespace {

static_assert(sizeof(__half) == 2 && sizeof(__half2) == 4 && alignof(__half2) == 4);
static_assert(sizeof(__nv_bfloat16) == 2 && sizeof(__nv_bfloat162) == 4 && alignof(__nv_bfloat162) == 4);
static_assert(std::is_trivially_default_constructible_v<__half> && std::is_trivially_copyable_v<__half2>);
static_assert(std::is_trivially_default_constructible_v<__nv_bfloat16> && std::is_trivially_copyable_v<__nv_bfloat162>);
static_assert(alignof(float4) == 16 && alignof(uint4) == 16 && alignof(float2) == 8);

template <class T, class Narrow>
void expect_round_trip(Narrow narrow) {
  for (unsigned bits = 0; bits < 65536; ++bits) {
    const T value = std::bit_cast<T>(static_cast<std::uint16_t>(bits));
    const float wide = value;
    if (std::isnan(wide))
      ASSERT_EQ(narrow(wide).bits, 0x7fff) << bits;
    else
      ASSERT_EQ(narrow(wide).bits, bits);
  }
}

TEST(Half, EveryPatternComesBackFromFloat) {
  expect_round_trip<__half>(__float2half);
  EXPECT_EQ(__half2float(__ushort_as_half(1)), 0x1p-24f);
  EXPECT_EQ(__half2float(__ushort_as_half(0xfbff)), -65504);
  EXPECT_EQ(__half2float(__ushort_as_half(0x7c00)), std::numeric_limits<float>::infinity());
}

TEST(Bfloat16, EveryPatternComesBackFromFloat) {
  expect_round_trip<__nv_bfloat16>(__float2bfloat16);
  EXPECT_EQ(__bfloat162float(__ushort_as_bfloat16(0x3f80)), 1);
}

// Between two neighbours everything goes to the nearer one, and the middle to the even one.
template <class T>
void expect_nearest_even(unsigned end) {
  for (std::uint16_t bits = 0; bits + 1u < end; ++bits) {
    const float low = std::bit_cast<T>(bits), high = std::bit_cast<T>(static_cast<std::uint16_t>(bits + 1)),
                middle = (low + high) / 2;
    ASSERT_EQ(T(middle).bits, bits + bits % 2) << bits;
    ASSERT_EQ(T(std::nextafter(middle, low)).bits, bits) << bits;
    ASSERT_EQ(T(std::nextafter(middle, high)).bits, bits + 1) << bits;
  }
}

TEST(Half, RoundsToNearestEven) {
  expect_nearest_even<__half>(0x7c00);
  EXPECT_EQ(__float2half(65519.9f).bits, 0x7bff);
  EXPECT_EQ(__float2half(65520.0f).bits, 0x7c00);
}

TEST(Bfloat16, RoundsToNearestEven) {
  // From where a float has bits to spare below one of ours.
  expect_nearest_even<__nv_bfloat16>(0x7f00);
  EXPECT_EQ(__float2bfloat16(std::numeric_limits<float>::max()).bits, 0x7f80);
}

TEST(Half, PairsLieLowFirst) {
  const __half2 pair = __floats2half2_rn(1, -2);
  std::uint32_t bits = 0;
  std::memcpy(&bits, &pair, sizeof bits);
  EXPECT_EQ(bits, 0xc0003c00u);
  EXPECT_EQ(__low2float(pair), 1);
  EXPECT_EQ(__half22float2(pair).y, -2);
  const __nv_bfloat162 other = __floats2bfloat162_rn(1, -2);
  std::memcpy(&bits, &other, sizeof bits);
  EXPECT_EQ(bits, 0xc0003f80u);
  EXPECT_EQ(__high2float(other), -2);
  EXPECT_EQ(__bfloat1622float2(other).x, 1);
}

TEST(Mathematics, TurnsAreExactAtQuarters) {
  EXPECT_EQ(cospif(0.5f), 0);
  EXPECT_EQ(cospif(1.0f), -1);
  EXPECT_EQ(cospif(-1.5f), 0);
  EXPECT_EQ(cospif(2e9f), 1);
  EXPECT_NEAR(cospif(0.25f), std::sqrt(0.5f), 1e-7);
  EXPECT_EQ(sinpif(3.0f), 0);
  EXPECT_NEAR(sinpif(-0.25f), -std::sqrt(0.5f), 1e-7);
}

TEST(Mathematics, BitsAndBounds) {
  EXPECT_EQ(__popc(0xf0u), 4);
  EXPECT_EQ(__ffs(0), 0);
  EXPECT_EQ(__ffs(8), 4);
  EXPECT_EQ(__clz(1), 31);
  EXPECT_EQ(__float_as_uint(1.0f), 0x3f800000u);
  EXPECT_EQ(__int_as_float(0x3f800000), 1);
  EXPECT_EQ(min(3, -4), -4);
  EXPECT_EQ(max(-1, 3u), 0xffffffffu);
  EXPECT_EQ(max(std::numeric_limits<float>::quiet_NaN(), 1.0f), 1);
  EXPECT_EQ(rsqrtf(4.0f), 0.5f);
  EXPECT_EQ(__fdividef(1.0f, 4.0f), 0.25f);
  EXPECT_FLOAT_EQ(__expf(1.0f), 2.7182818f);
  EXPECT_FLOAT_EQ(__logf(2.0f), 0.69314718f);
}

}  // namespace

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "eaq/tensor/tensor.h"

namespace eaq {
namespace {

f16 half(unsigned bits) {
  f16 value;
  value.bits = static_cast<std::uint16_t>(bits);
  return value;
}

TEST(Half, EveryNumberSurvivesTheWayToFloatAndBack) {
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    const auto wide = static_cast<float>(half(bits));
    if (std::isnan(wide)) continue;
    ASSERT_EQ(f16(wide).bits, bits);
  }
}
TEST(Half, NanStaysNan) { EXPECT_TRUE(std::isnan(static_cast<float>(f16(std::numeric_limits<float>::quiet_NaN())))); }
TEST(Half, TiesGoToEven) {
  EXPECT_EQ(f16(1.0f + 0x1p-11f).bits, 0x3C00);
  EXPECT_EQ(f16(1.0f + 3 * 0x1p-11f).bits, 0x3C02);
}
TEST(Half, OverflowBecomesInfinityHalfAStepPastTheLargest) {
  EXPECT_EQ(f16(65519.0f).bits, 0x7BFF);
  EXPECT_EQ(f16(65520.0f).bits, 0x7C00);
  EXPECT_EQ(f16(-1e30f).bits, 0xFC00);
}
TEST(Half, SmallNumbersAreSubnormalNotZero) { EXPECT_EQ(f16(0x1p-24f).bits, 1); }

TEST(Bfloat, NanWhoseHighHalfIsInfinityStaysNan) {
  EXPECT_TRUE(std::isnan(static_cast<float>(bf16(std::bit_cast<float>(0x7F800001u)))));
}
TEST(Bfloat, TiesGoToEven) {
  EXPECT_EQ(bf16(1.0f + 0x1p-8f).bits, 0x3F80);
  EXPECT_EQ(bf16(1.0f + 3 * 0x1p-8f).bits, 0x3F82);
}

}  // namespace
}  // namespace eaq

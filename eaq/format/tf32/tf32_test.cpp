#include "eaq/format/tf32/tf32.h"

#include <gtest/gtest.h>

#include <cmath>

namespace eaq {
namespace {

float rounded(float x) {
  format_named("tf32").round_input(&x, 1);
  return x;
}

TEST(Tf32, ErrorIsAtMostHalfAStepOfTenBits) {
  for (float x = 1; x < 2; x += 0x1.8p-15f) EXPECT_LE(std::abs(rounded(x) - x), 0x1p-11f) << x;
}

TEST(Tf32, TiesGoToTheEvenMantissa) {
  EXPECT_EQ(rounded(1 + 0x1p-11f), 1);
  EXPECT_EQ(rounded(1 + 0x3p-11f), 1 + 0x2p-10f);
}

TEST(Tf32, KeepsTheRangeOfFp32) {
  EXPECT_EQ(rounded(0x1p127f), 0x1p127f);
  EXPECT_EQ(rounded(0x1p-126f), 0x1p-126f);
  EXPECT_TRUE(std::isnan(rounded(NAN)));
  EXPECT_EQ(rounded(INFINITY), INFINITY);
}

}  // namespace
}  // namespace eaq

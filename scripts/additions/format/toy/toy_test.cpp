#include "eaq/format/toy/toy.h"

#include <gtest/gtest.h>

#include <cmath>

namespace eaq::format_toy {
namespace {

TEST(Toy, NeverMovesAwayFromZero) {
  for (const float value : {1.00001f, -1.00001f, 3.14159f, -2.71828f})
    EXPECT_LE(std::abs(decode(encode(value))), std::abs(value));
}
TEST(Toy, RelativeErrorIsBelowOneStep) {
  for (float value = 1; value < 2; value += 0x1p-12f) EXPECT_LT(value - decode(encode(value)), 0x1p-7f);
}

}  // namespace
}  // namespace eaq::format_toy

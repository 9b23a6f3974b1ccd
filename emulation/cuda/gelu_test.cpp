// The GELUs of Hopper's epilogues against double.
#include "eaq/kernel/cuda/hopper/gelu.cuh"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace {

using eaq::kernel_cuda::fast_gelu;
using eaq::kernel_cuda::fast_gelu_tanh;
using eaq::kernel_cuda::faster_gelu_tanh;

constexpr float infinity = std::numeric_limits<float>::infinity();

TEST(FastGelu, IsTheErfFormToAMillionth) {
  for (float x = -12; x < 12; x += 0.00171f) {
    const double expected = 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    EXPECT_NEAR(fast_gelu(x), expected, 1e-6) << x;
    EXPECT_NEAR(fast_gelu(x), expected, 3e-4 * std::abs(expected) + 5e-10) << x;
  }
}

TEST(FastGelu, IsTheTanhFormToAMillionth) {
  for (float x = -12; x < 12; x += 0.00171f) {
    const double u = std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x);
    EXPECT_NEAR(fast_gelu_tanh(x), x / (1 + std::exp(-2 * u)), 1e-6 * std::abs(x)) << x;
    EXPECT_NEAR(faster_gelu_tanh(x), x / (1 + std::exp(-2 * u)), 1e-6 * std::abs(x)) << x;
  }
}

TEST(FastGelu, KeepsWhatIsNoNumber) {
  EXPECT_TRUE(std::isnan(fast_gelu(NAN)));
  EXPECT_TRUE(std::isnan(fast_gelu_tanh(NAN)));
  EXPECT_TRUE(std::isnan(faster_gelu_tanh(NAN)));
  for (const float large : {1e4f, 1e20f, infinity}) {
    EXPECT_EQ(fast_gelu(large), large);
    EXPECT_EQ(fast_gelu_tanh(large), large);
    EXPECT_EQ(faster_gelu_tanh(large), large);
    EXPECT_NEAR(fast_gelu(-large), 0, 1e-10);
  }
  EXPECT_EQ(fast_gelu_tanh(-1e20f), 0);
}

}  // namespace

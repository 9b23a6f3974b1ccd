#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "eaq/base/base.h"
#include "eaq/kernel/cpu/testing.h"

namespace eaq {
namespace {

using testing_kernel::label;
using testing_kernel::odd_sizes;
using testing_kernel::on_every_level;
using testing_kernel::Owned;
using testing_kernel::rounding;
using testing_kernel::storages;

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan_value = std::numeric_limits<float>::quiet_NaN();

double reference(Activation a, double x) {
  switch (a) {
    case Activation::none:
      return x;
    case Activation::gelu:
      return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case Activation::gelu_tanh:
      return x / (1 + std::exp(-2 * std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::quick_gelu:
      return x / (1 + std::exp(-1.702 * x));
    case Activation::relu:
      return std::max(x, 0.0);
    case Activation::silu:
      return x / (1 + std::exp(-x));
    case Activation::tanh:
      return std::tanh(x);
    case Activation::sigmoid:
      return 1 / (1 + std::exp(-x));
  }
  return x;
}
constexpr Activation all_activations[] = {Activation::none, Activation::gelu, Activation::gelu_tanh, Activation::quick_gelu,
                                          Activation::relu, Activation::silu, Activation::tanh,      Activation::sigmoid};

// What a storage adds to an error: half a step, and half the smallest step near zero.
double storage_error(DType dtype, double value) {
  return std::abs(value) * rounding(dtype) * 1.001 + (dtype == DType::f16 ? 0x1p-25 : 0);
}

TEST(Activation, ErrorIsWithinItsBoundOverTheWholeRange) {
  on_every_level([] {
    CpuContext context(1);
    constexpr std::int64_t n = 200001;
    Owned x(DType::f32, 1, n), y(DType::f32, 1, n);
    for (const float reach : {0.01f, 1.0f, 6.0f, 15.0f, 100.0f, 3e4f}) {
      x.fill([&](std::int64_t, std::int64_t c) { return reach * static_cast<float>(2.0 * c / (n - 1) - 1); });
      for (const Activation a : all_activations) {
        activation(context, a, x.matrix(), y.matrix());
        for (std::int64_t c = 0; c < n; ++c) {
          const double expected = reference(a, x.at(0, c));
          ASSERT_NEAR(y.at(0, c), expected, 2e-6 * std::abs(expected) + 1e-10)
              << "activation " << static_cast<int>(a) << " of " << x.at(0, c);
        }
      }
    }
  });
}

// Where the tail is taken from rounded squares, it loses its digits long before it vanishes.
TEST(Activation, GeluKeepsItsDigitsInTheTail) {
  on_every_level([] {
    CpuContext context(1);
    constexpr std::int64_t n = 10001;
    Owned x(DType::f32, 1, n), y(DType::f32, 1, n);
    x.fill([&](std::int64_t, std::int64_t c) { return -13.0f * static_cast<float>(c) / (n - 1); });
    activation(context, Activation::gelu, x.matrix(), y.matrix());
    for (std::int64_t c = 0; c < n; ++c) {
      const double expected = reference(Activation::gelu, x.at(0, c));
      ASSERT_NEAR(y.at(0, c), expected, 2e-6 * std::abs(expected)) << x.at(0, c);
    }
  });
}

TEST(Activation, TakesEverySizeAndStorageAlsoInPlace) {
  on_every_level([] {
    CpuContext context(2);
    for (const DType from : storages)
      for (const DType to : storages)
        for (const std::int64_t cols : odd_sizes) {
          SCOPED_TRACE(label(from, to, 5, cols));
          Owned x(from, 5, cols), y(to, 5, cols), in_place(from, 5, cols);
          x.fill_normal(static_cast<unsigned>(cols), 3);
          in_place.fill([&](std::int64_t r, std::int64_t c) { return x.at(r, c); });
          activation(context, Activation::gelu, x.matrix(), y.matrix());
          activation(context, Activation::gelu, in_place.matrix(), in_place.matrix());
          for (std::int64_t r = 0; r < 5; ++r)
            for (std::int64_t c = 0; c < cols; ++c) {
              const double expected = reference(Activation::gelu, x.at(r, c)), own = 2e-6 * std::abs(expected) + 1e-10;
              ASSERT_NEAR(y.at(r, c), expected, own + storage_error(to, expected));
              ASSERT_NEAR(in_place.at(r, c), expected, own + storage_error(from, expected));
            }
          EXPECT_TRUE(y.guards_stand() && in_place.guards_stand());
        }
  });
}

TEST(Activation, NansStayAndInfinitiesReachTheirLimits) {
  on_every_level([] {
    CpuContext context(1);
    for (const Activation a : all_activations) {
      Owned x(DType::f32, 1, 3), y(DType::f32, 1, 3);
      x.set(0, 0, nan_value);
      x.set(0, 1, infinity);
      x.set(0, 2, -infinity);
      activation(context, a, x.matrix(), y.matrix());
      EXPECT_TRUE(std::isnan(y.at(0, 0))) << static_cast<int>(a);
      EXPECT_EQ(y.at(0, 1), a == Activation::tanh || a == Activation::sigmoid ? 1 : infinity) << static_cast<int>(a);
      EXPECT_EQ(y.at(0, 2), a == Activation::tanh ? -1 : a == Activation::none ? -infinity : 0) << static_cast<int>(a);
    }
  });
}

TEST(Add, SumsAnyMixOfStorages) {
  on_every_level([] {
    CpuContext context(2);
    for (const DType first : storages)
      for (const DType second : storages)
        for (const std::int64_t cols : odd_sizes) {
          SCOPED_TRACE(label(first, second, 4, cols));
          Owned a(first, 4, cols), b(second, 4, cols), y(first, 4, cols);
          a.fill_normal(1);
          b.fill_normal(2);
          add(context, a.matrix(), b.matrix(), y.matrix());
          for (std::int64_t r = 0; r < 4; ++r)
            for (std::int64_t c = 0; c < cols; ++c) {
              const double expected = double{a.at(r, c)} + b.at(r, c);
              ASSERT_NEAR(y.at(r, c), expected, std::abs(expected) * 0x1p-24 + storage_error(first, expected));
            }
          add(context, a.matrix(), b.matrix(), a.matrix());
          for (std::int64_t r = 0; r < 4; ++r)
            for (std::int64_t c = 0; c < cols; ++c) ASSERT_EQ(a.at(r, c), y.at(r, c));
          EXPECT_TRUE(a.guards_stand() && y.guards_stand());
        }
  });
}

bool same_bits(float a, float b) { return std::memcmp(&a, &b, sizeof a) == 0; }

TEST(Convert, RoundsEveryValueAsTheScalarTypesDo) {
  on_every_level([] {
    CpuContext context(1);
    // Every bf16 with three kinds of lower halves (below, at and above the middle between neighbours), and the like for fp16.
    std::vector<float> values;
    for (std::uint32_t high = 0; high < 0x10000; ++high)
      for (const std::uint32_t low : {0x0000u, 0x1000u, 0x2FFFu, 0x3000u, 0x7FFFu, 0x8000u, 0x8001u})
        values.push_back(std::bit_cast<float>(high << 16 | low));
    const auto n = static_cast<std::int64_t>(values.size());
    Owned x(DType::f32, 1, n), narrow_bf16(DType::bf16, 1, n), narrow_f16(DType::f16, 1, n), back(DType::f32, 1, n);
    x.fill([&](std::int64_t, std::int64_t c) { return values[static_cast<std::size_t>(c)]; });
    for (Owned* narrow : {&narrow_bf16, &narrow_f16}) {
      convert(context, x.matrix(), narrow->matrix());
      convert(context, narrow->matrix(), back.matrix());
      for (std::int64_t c = 0; c < n; ++c) {
        const float value = x.at(0, c);
        const float expected = narrow == &narrow_bf16 ? static_cast<float>(bf16(value)) : static_cast<float>(f16(value));
        if (std::isnan(value)) {
          ASSERT_TRUE(std::isnan(narrow->at(0, c)) && std::isnan(back.at(0, c)));
        } else {
          ASSERT_TRUE(same_bits(narrow->at(0, c), expected) && same_bits(back.at(0, c), expected)) << value;
        }
      }
    }
  });
}

TEST(Convert, OverflowBecomesInfinity) {
  on_every_level([] {
    CpuContext context(1);
    for (const std::int64_t cols : odd_sizes) {
      Owned x(DType::f32, 1, cols), y(DType::f16, 1, cols);
      x.fill([](std::int64_t, std::int64_t c) { return c % 2 == 0 ? 65520.0f : -1e9f; });
      convert(context, x.matrix(), y.matrix());
      for (std::int64_t c = 0; c < cols; ++c) EXPECT_EQ(y.at(0, c), c % 2 == 0 ? infinity : -infinity);
    }
  });
}

void expect_normed(const Owned& x, const Owned* addend, const LayerNorm& norm, const Owned& y, double slack) {
  const std::int64_t cols = x.matrix().cols;
  for (std::int64_t r = 0; r < x.matrix().rows; ++r) {
    const auto input = [&](std::int64_t c) { return double{x.at(r, c)} + (addend != nullptr ? addend->at(r, c) : 0); };
    double mean = 0, variance = 0;
    for (std::int64_t c = 0; c < cols; ++c) mean += input(c) / static_cast<double>(cols);
    for (std::int64_t c = 0; c < cols; ++c) variance += (input(c) - mean) * (input(c) - mean) / static_cast<double>(cols);
    for (std::int64_t c = 0; c < cols; ++c) {
      const double expected = (input(c) - mean) / std::sqrt(variance + norm.epsilon) * norm.gamma[c] + norm.beta[c];
      ASSERT_NEAR(y.at(r, c), expected, slack + storage_error(y.matrix().dtype, expected)) << "row " << r << ", column " << c;
    }
  }
}

struct Affine {
  Owned gamma, beta;
  explicit Affine(std::int64_t cols) : gamma(DType::f32, 1, cols), beta(DType::f32, 1, cols) {
    gamma.fill_normal(21);
    beta.fill_normal(22);
  }
  LayerNorm norm(float epsilon) const {
    return {reinterpret_cast<const float*>(gamma.matrix().data), reinterpret_cast<const float*>(beta.matrix().data), epsilon};
  }
};

TEST(LayerNorm, CentresAndScalesEveryRow) {
  on_every_level([] {
    CpuContext context(2);
    for (const DType from : storages)
      for (const DType to : storages)
        for (const std::int64_t cols : odd_sizes) {
          SCOPED_TRACE(label(from, to, 6, cols));
          const Affine affine(cols);
          Owned x(from, 6, cols), y(to, 6, cols);
          x.fill_normal(3, 2);
          layer_norm(context, affine.norm(1e-5f), x.matrix(), y.matrix());
          // A row of one or three close values has little variance: there 1 / sqrt(epsilon) magnifies what rounding leaves.
          expect_normed(x, nullptr, affine.norm(1e-5f), y, cols < 16 ? 1e-4 : 4e-6);
          EXPECT_TRUE(y.guards_stand());
        }
  });
}

TEST(LayerNorm, AddsFirstKeepsTheSumAndWorksInPlace) {
  on_every_level([] {
    CpuContext context(2);
    for (const DType first : storages)
      for (const DType second : storages)
        for (const std::int64_t cols : {5, 64, 770}) {
          SCOPED_TRACE(label(first, second, 6, cols));
          const Affine affine(cols);
          Owned x(first, 6, cols), more(second, 6, cols), y(DType::f32, 6, cols), sum(second, 6, cols);
          x.fill_normal(3, 2);
          more.fill_normal(4, 2);
          layer_norm(context, affine.norm(1e-12f), x.matrix(), y.matrix(), &more.matrix(), &sum.matrix());
          expect_normed(x, &more, affine.norm(1e-12f), y, 1e-5);
          for (std::int64_t r = 0; r < 6; ++r)
            for (std::int64_t c = 0; c < cols; ++c) {
              const double expected = double{x.at(r, c)} + more.at(r, c);
              ASSERT_NEAR(sum.at(r, c), expected, std::abs(expected) * 0x1p-24 + storage_error(second, expected));
            }
          // y over x, the sum over what is added: the residual stream of a model.
          layer_norm(context, affine.norm(1e-12f), more.matrix(), x.matrix(), &x.matrix(), &more.matrix());
          for (std::int64_t r = 0; r < 6; ++r)
            for (std::int64_t c = 0; c < cols; ++c) {
              ASSERT_EQ(more.at(r, c), sum.at(r, c));
              ASSERT_NEAR(x.at(r, c), y.at(r, c), 1e-6 + storage_error(first, y.at(r, c)));
            }
          EXPECT_TRUE(x.guards_stand() && more.guards_stand() && sum.guards_stand());
        }
  });
}

TEST(LayerNorm, ALargeMeanDoesNotDrownTheVariance) {
  on_every_level([] {
    CpuContext context(1);
    const Affine affine(768);
    Owned x(DType::f32, 3, 768), y(DType::f32, 3, 768);
    x.fill([](std::int64_t r, std::int64_t c) { return 4096 + std::sin(static_cast<double>(c * (r + 1))); });
    layer_norm(context, affine.norm(1e-5f), x.matrix(), y.matrix());
    expect_normed(x, nullptr, affine.norm(1e-5f), y, 1e-5);
  });
}

TEST(LayerNorm, ARowWithANanIsNanAndNoOther) {
  on_every_level([] {
    CpuContext context(1);
    const Affine affine(40);
    Owned x(DType::f32, 3, 40), y(DType::f32, 3, 40);
    x.fill_normal(1);
    x.set(1, 39, nan_value);
    layer_norm(context, affine.norm(1e-5f), x.matrix(), y.matrix());
    for (std::int64_t r = 0; r < 3; ++r)
      for (std::int64_t c = 0; c < 40; ++c) EXPECT_EQ(std::isnan(y.at(r, c)), r == 1);
  });
}

TEST(RangeOf, IsTheLargestFiniteMagnitudeAndCountsTheRest) {
  on_every_level([] {
    CpuContext context(2);
    for (const DType dtype : storages)
      for (const std::int64_t cols : odd_sizes) {
        Owned x(dtype, 7, cols);
        x.fill([](std::int64_t r, std::int64_t c) { return 0.25 * static_cast<double>((r * 31 + c * 7) % 50); });
        x.set(3, cols / 2, -100);
        EXPECT_EQ(range_of(context, x.matrix()).max_abs, 100);
        EXPECT_EQ(range_of(context, x.matrix()).non_finite, 0);
        x.set(6, cols - 1, nan_value);
        x.set(0, 0, -infinity);
        EXPECT_EQ(range_of(context, x.matrix()).max_abs, 100);
        EXPECT_EQ(range_of(context, x.matrix()).non_finite, 2);
      }
    EXPECT_EQ(range_of(context, Matrix{}).max_abs, 0);
  });
}

}  // namespace
}  // namespace eaq

// What an evaluation keeps of logits, and the epilogue of products.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "eaq/base/base.h"
#include "eaq/kernel/cpu/testing.h"

namespace eaq {
namespace {

using testing_kernel::on_every_level;
using testing_kernel::Owned;
using testing_kernel::rounding;
using testing_kernel::storages;

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan_value = std::numeric_limits<float>::quiet_NaN();
constexpr std::int64_t row_sizes[] = {1, 3, 7, 15, 16, 17, 63, 65, 1000, 50257};

std::vector<float> logits(std::int64_t n, unsigned seed, float deviation) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, deviation);
  std::vector<float> values(static_cast<std::size_t>(n));
  for (float& v : values) v = normal(random);
  return values;
}

double log_sum_exp(const std::vector<float>& row) {
  const double top = *std::max_element(row.begin(), row.end());
  double sum = 0;
  for (const float v : row) sum += std::exp(v - top);
  return top + std::log(sum);
}

double divergence(const std::vector<float>& p, const std::vector<float>& q) {
  const double p_total = log_sum_exp(p), q_total = log_sum_exp(q);
  double sum = 0;
  for (std::size_t i = 0; i < p.size(); ++i) sum += std::exp(p[i] - p_total) * ((p[i] - p_total) - (q[i] - q_total));
  return sum;
}

RowSummary summary(const std::vector<float>& row) { return summarise_row(row.data(), static_cast<std::int64_t>(row.size())); }

TEST(SummariseRow, AgreesWithDoubleAtEverySize) {
  on_every_level([] {
    for (const std::int64_t n : row_sizes)
      for (const float deviation : {0.01f, 3.0f, 1e4f}) {
        const std::vector<float> row = logits(n, static_cast<unsigned>(n), deviation);
        const RowSummary s = summary(row);
        const double expected = log_sum_exp(row);
        EXPECT_NEAR(s.log_sum_exp, expected, 3e-7 + 1e-15 * std::abs(expected)) << n << " logits of " << deviation;
        EXPECT_EQ(s.argmax, std::max_element(row.begin(), row.end()) - row.begin());
        EXPECT_EQ(s.max, row[static_cast<std::size_t>(s.argmax)]);
        EXPECT_EQ(s.non_finite, 0);
      }
  });
}

TEST(SummariseRow, TheLowestIndexWinsAmongEquals) {
  on_every_level([] {
    for (const std::int64_t n : row_sizes)
      for (const std::int64_t first : {std::int64_t{0}, n / 3, n - 1}) {
        std::vector<float> row(static_cast<std::size_t>(n), -5);
        for (std::int64_t i = first; i < n; i += 2) row[static_cast<std::size_t>(i)] = -1;
        EXPECT_EQ(summary(row).argmax, first) << n;
      }
  });
}

TEST(SummariseRow, ANanNeverWinsAndIsCounted) {
  on_every_level([] {
    for (const std::int64_t n : {3, 17, 1000}) {
      std::vector<float> row = logits(n, 1, 1);
      row[0] = nan_value;
      row[static_cast<std::size_t>(n / 2)] = 50;
      row[static_cast<std::size_t>(n - 1)] = -infinity;
      const RowSummary s = summary(row);
      EXPECT_EQ(s.argmax, n / 2);
      EXPECT_EQ(s.max, 50);
      EXPECT_EQ(s.non_finite, 2);
      EXPECT_TRUE(std::isnan(s.log_sum_exp));
    }
    EXPECT_EQ(summary({nan_value, nan_value}).argmax, 0);
    EXPECT_EQ(summary({nan_value, nan_value}).non_finite, 2);
  });
}

TEST(SummariseRow, MinusInfinityHasNoProbability) {
  on_every_level([] { EXPECT_NEAR(summary({1, -infinity, 1}).log_sum_exp, 1 + std::log(2.0), 1e-7); });
}

double kl(const std::vector<float>& p, const std::vector<float>& q) {
  return kl_divergence(p.data(), q.data(), static_cast<std::int64_t>(p.size()), log_sum_exp(p), log_sum_exp(q));
}

// Down to what 16 bits cost: noise of a thousandth gives some 1e-6 nats, and they keep three digits.
TEST(KlDivergence, AgreesWithDoubleFromLargeToTiny) {
  on_every_level([] {
    for (const std::int64_t n : row_sizes)
      for (const float noise : {2.0f, 0.1f, 1e-3f}) {
        const std::vector<float> p = logits(n, 5, 3), change = logits(n, 6, noise);
        std::vector<float> q = p;
        for (std::size_t i = 0; i < q.size(); ++i) q[i] += change[i] + 7;  // a common shift changes nothing
        const double expected = divergence(p, q);
        EXPECT_NEAR(kl(p, q), expected, 1e-6 * expected + 2e-7 * noise) << n << " logits, noise " << noise;
      }
  });
}

TEST(KlDivergence, OfARowFromItselfIsZero) {
  on_every_level([] {
    for (const std::int64_t n : row_sizes) {
      const std::vector<float> p = logits(n, 5, 30);
      EXPECT_EQ(kl(p, p), 0);
    }
  });
}

TEST(KlDivergence, WhatPHoldsImpossibleTakesNoPart) {
  on_every_level([] {
    EXPECT_NEAR(kl({0, -infinity, 0}, {0, 3, 0}), divergence({0, -1e4f, 0}, {0, 3, 0}), 1e-6);
    EXPECT_EQ(kl({0, 0}, {0, -infinity}), infinity);
  });
}

double activated(Activation a, double x) {
  return a == Activation::gelu ? 0.5 * x * std::erfc(-x / std::sqrt(2.0)) : std::max(x, 0.0);
}

enum class Sums { f32, integer, integer_with_surplus };

struct Case {
  Sums sums = Sums::f32;
  bool bias = false, residual = false;
  Activation activation = Activation::none;
};

void expect_finished(const Case& k, DType stored, DType residual_type, std::int64_t rows, std::int64_t cols) {
  const std::int64_t row0 = 2, col0 = 3;
  Owned tile(DType::f32, rows, cols), y(stored, rows + 4, cols + 8), residual(residual_type, rows + 4, cols + 8);
  tile.fill_normal(1, 2);
  residual.fill_normal(2);
  y.fill([](std::int64_t, std::int64_t) { return 99; });
  const std::int64_t stride = (cols + 15) / 16 * 16;
  std::vector<float> row_scale(static_cast<std::size_t>(rows)), col_scale(static_cast<std::size_t>(stride)),
      bias(static_cast<std::size_t>(cols + 8));
  std::vector<std::int32_t> sums(static_cast<std::size_t>(rows * stride)), surplus(static_cast<std::size_t>(stride));
  for (std::size_t i = 0; i < row_scale.size(); ++i) row_scale[i] = 0.5f + static_cast<float>(i);
  for (std::size_t i = 0; i < col_scale.size(); ++i) col_scale[i] = 1 / (1 + static_cast<float>(i % 9));
  for (std::size_t i = 0; i < bias.size(); ++i) bias[i] = static_cast<float>(i % 5) - 2;
  for (std::size_t i = 0; i < sums.size(); ++i) sums[i] = static_cast<std::int32_t>(i * 37 % 23) - 11;
  for (std::size_t i = 0; i < surplus.size(); ++i) surplus[i] = static_cast<std::int32_t>(i % 7) - 3;
  Tile t{.rows = rows, .cols = cols};
  if (k.sums == Sums::f32) {
    t.data = reinterpret_cast<const float*>(tile.matrix().data);
    t.stride = tile.matrix().stride;
  } else {
    t.sums = {.data = sums.data(),
              .surplus = k.sums == Sums::integer ? nullptr : surplus.data(),
              .row_scale = row_scale.data(),
              .col_scale = col_scale.data()};
    t.stride = stride;
  }
  const Epilogue epilogue{
      .bias = k.bias ? bias.data() : nullptr, .activation = k.activation, .residual = k.residual ? &residual.matrix() : nullptr};
  finish_tile(t, epilogue, y.matrix(), row0, col0);
  for (std::int64_t r = 0; r < rows + 4; ++r)
    for (std::int64_t c = 0; c < cols + 8; ++c) {
      if (r < row0 || r >= row0 + rows || c < col0 || c >= col0 + cols) {
        ASSERT_EQ(y.at(r, c), 99) << "written outside the tile";
        continue;
      }
      const auto row = static_cast<std::size_t>(r - row0), column = static_cast<std::size_t>(c - col0);
      double v = tile.at(r - row0, c - col0);
      if (k.sums != Sums::f32) {
        const std::int32_t taken_off = k.sums == Sums::integer ? 0 : surplus[column];
        v = (sums[row * static_cast<std::size_t>(stride) + column] - taken_off) * double{row_scale[row]} * col_scale[column];
      }
      if (k.bias) v += bias[static_cast<std::size_t>(c)];
      if (k.activation != Activation::none) v = activated(k.activation, v);
      if (k.residual) v += residual.at(r, c);
      ASSERT_NEAR(y.at(r, c), v, 4e-6 * (1 + std::abs(v)) + std::abs(v) * rounding(stored) * 1.001) << r << ", " << c;
    }
  EXPECT_TRUE(y.guards_stand());
}

TEST(FinishTile, ScalesAddsBiasActivatesAddsResidualAndStores) {
  on_every_level([] {
    for (const std::int64_t cols : {1, 3, 16, 17, 65, 256})
      for (const DType stored : storages)
        for (const DType residual : storages)
          for (const Sums sums : {Sums::f32, Sums::integer, Sums::integer_with_surplus})
            for (int bits = 0; bits < 4; ++bits)
              for (const Activation a : {Activation::none, Activation::gelu, Activation::relu})
                expect_finished({sums, (bits & 1) != 0, (bits & 2) != 0, a}, stored, residual, 5, cols);
  });
}

TEST(FinishTile, MayWriteOverTheTile) {
  on_every_level([] {
    Owned y(DType::f32, 6, 37);
    y.fill([](std::int64_t r, std::int64_t c) { return r + c; });
    const std::vector<float> bias(37, 1);
    const Tile tile{.data = reinterpret_cast<const float*>(y.matrix().data), .stride = y.matrix().stride, .rows = 6, .cols = 37};
    finish_tile(tile, {.bias = bias.data()}, y.matrix(), 0, 0);
    for (std::int64_t r = 0; r < 6; ++r)
      for (std::int64_t c = 0; c < 37; ++c) EXPECT_EQ(y.at(r, c), static_cast<float>(r + c + 1));
    EXPECT_TRUE(y.guards_stand());
  });
}

TEST(FinishTile, Fp16OverflowsToInfinity) {
  on_every_level([] {
    Owned y(DType::f16, 1, 20);
    const std::vector<float> sums(20, 7e4f);
    finish_tile({.data = sums.data(), .stride = 20, .rows = 1, .cols = 20}, {}, y.matrix(), 0, 0);
    for (std::int64_t c = 0; c < 20; ++c) EXPECT_EQ(y.at(0, c), infinity);
  });
}

}  // namespace
}  // namespace eaq

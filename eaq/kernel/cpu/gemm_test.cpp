#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <set>
#include <thread>

#include "eaq/base/base.h"
#include "eaq/kernel/kernel.h"

namespace eaq {
namespace {

std::vector<Isa> levels() {
  std::vector<Isa> all;
  for (int level = 0; level <= static_cast<int>(cpu_isa()); ++level) all.push_back(static_cast<Isa>(level));
  return all;
}

Matrix matrix_of(std::vector<float>& values, std::int64_t rows, std::int64_t cols) {
  return {.dtype = DType::f32, .data = reinterpret_cast<std::byte*>(values.data()), .rows = rows, .cols = cols, .stride = cols};
}

std::vector<float> product(const PackedWeight& weight, std::vector<float>& x, std::int64_t m, int threads = 1) {
  CpuContext context(threads);
  std::vector<float> y(static_cast<std::size_t>(m * weight.layout().n));
  weight.multiply(context, matrix_of(x, m, weight.layout().k), matrix_of(y, m, weight.layout().n), {});
  return y;
}

constexpr WeightPlan int8_plan{.storage = DType::i8, .arithmetic = Arithmetic::s8, .operands = DType::f32};
constexpr WeightPlan fp32_plan{.storage = DType::f32, .arithmetic = Arithmetic::f32, .operands = DType::f32};
constexpr WeightPlan bf16_plan{.storage = DType::bf16, .arithmetic = Arithmetic::bf16, .operands = DType::bf16},
    bf16_widened_plan{.storage = DType::bf16, .arithmetic = Arithmetic::f32, .operands = DType::bf16},
    f16_widened_plan{.storage = DType::f16, .arithmetic = Arithmetic::f32, .operands = DType::f16},
    mixed_plan{.storage = DType::f32, .arithmetic = Arithmetic::bf16, .operands = DType::bf16};

TEST(QuantiseRow, IsOffByHalfAStepAtMostAndReaches127) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  for (int round = 0; round < 200; ++round) {
    std::vector<float> x(37);
    for (float& v : x) v = normal(random) * std::ldexp(1.0f, round - 100 + 40);
    std::vector<std::int8_t> q(x.size());
    const float step = quantise_row(x.data(), 37, q.data());
    int largest = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      largest = std::max(largest, std::abs(static_cast<int>(q[i])));
      if (step > 0) {
        EXPECT_LE(std::fabs(static_cast<double>(x[i]) - static_cast<double>(q[i]) * step), 0.50002 * step);
      }
    }
    EXPECT_EQ(largest, step > 0 ? 127 : 0);
  }
}

TEST(QuantiseRow, RoundsTiesToEven) {
  const std::vector<float> x{127, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f};
  std::vector<std::int8_t> q(x.size());
  EXPECT_EQ(quantise_row(x.data(), 7, q.data()), 1.0f);
  EXPECT_EQ(q, (std::vector<std::int8_t>{127, 0, 2, 2, 0, -2, -2}));
}

TEST(QuantiseRow, MarksWhatIsNotFiniteAndKeepsZerosZero) {
  std::vector<std::int8_t> q(2, 5);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    const std::vector<float> x{1, bad};
    EXPECT_TRUE(std::isnan(quantise_row(x.data(), 2, q.data())));
  }
  const std::vector<float> zeros(2), tiny{1e-38f, 0};
  EXPECT_EQ(quantise_row(zeros.data(), 2, q.data()), 0.0f);
  EXPECT_EQ(quantise_row(tiny.data(), 2, q.data()), 0.0f);
  EXPECT_EQ(q, (std::vector<std::int8_t>{0, 0}));
}

// Every operand at a limit: pairs of products pass 16 bits, whole sums pass 24. Each sum is exact in 32 bits and rounded once.
TEST(Int8, SumsAreExactAtTheLimitsAtEveryLevel) {
  for (const Isa isa : levels())
    for (const std::int64_t k : {1, 2, 3, 64, 65, 768, 4097})
      for (const float sign : {1.0f, -1.0f}) {
        PackedWeight weight(int8_plan, 70, k, isa);
        const std::vector<float> rows(static_cast<std::size_t>(70 * k), 127.0f);
        weight.pack(0, 70, rows.data());
        for (const std::int64_t m : {1, 6, 13, 97}) {
          std::vector<float> x(static_cast<std::size_t>(m * k), sign * 127.0f);
          for (const float y : product(weight, x, m))
            ASSERT_EQ(y, sign * static_cast<float>(127 * 127 * k)) << name_of(isa) << ", k " << k << ", m " << m;
        }
      }
}

// Of integers, summed exactly and rounded once.
std::vector<float> exact_product(const std::vector<float>& w, const std::vector<float>& x, std::int64_t m, std::int64_t n,
                                 std::int64_t k) {
  std::vector<float> y;
  for (std::int64_t r = 0; r < m; ++r)
    for (std::int64_t c = 0; c < n; ++c) {
      std::int32_t sum = 0;
      for (std::int64_t i = 0; i < k; ++i)
        sum += static_cast<std::int32_t>(x[static_cast<std::size_t>(r * k + i)]) *
               static_cast<std::int32_t>(w[static_cast<std::size_t>(c * k + i)]);
      y.push_back(static_cast<float>(sum));
    }
  return y;
}

TEST(Int8, SumsOfRandomIntegersAreExactAtEveryLevel) {
  std::mt19937 random(11);
  const std::int64_t n = 83;
  for (const std::int64_t k : {515, 3073})  // longer ones are summed in parts
    for (const std::int64_t m : {1, 2, 29}) {
      std::vector<float> w(static_cast<std::size_t>(n * k)), x(static_cast<std::size_t>(m * k));
      for (auto* values : {&w, &x})
        for (std::size_t i = 0; i < values->size(); ++i)
          (*values)[i] =
              i % static_cast<std::size_t>(k) == 0 ? -127.0f : static_cast<float>(static_cast<int>(random() % 255) - 127);
      const std::vector<float> expected = exact_product(w, x, m, n, k);
      for (const Isa isa : levels()) {
        PackedWeight weight(int8_plan, n, k, isa);
        weight.pack(0, n, w.data());
        ASSERT_EQ(product(weight, x, m), expected) << name_of(isa) << ", k " << k << ", m " << m;
      }
    }
}

TEST(Int8, RefusesSumsThatMayOverflow) { EXPECT_THROW(PackedWeight(int8_plan, 1, 70000, Isa::avx2), Error); }

TEST(PackedWeightKernels, AreNamedByLevelOnceTheyHaveRun) {
  for (const WeightPlan& plan : {fp32_plan, int8_plan}) {
    std::set<std::string> names;
    for (const Isa isa : {Isa::avx2, cpu_isa()}) {
      PackedWeight weight(plan, 5, 7, isa);
      const std::vector<float> rows(35, 1.0f);
      weight.pack(0, 5, rows.data());
      EXPECT_TRUE(weight.kernels().empty());
      std::vector<float> x(14, 1.0f);
      product(weight, x, 2);
      ASSERT_EQ(weight.kernels().size(), 1u);
      names.insert(weight.kernels()[0]);
    }
    EXPECT_EQ(names.size(), cpu_isa() == Isa::avx2 ? 1u : 2u);
  }
}

TEST(PackedWeightKernels, RefuseArithmeticThatALevelLacks) {
  EXPECT_FALSE(multiplies(Isa::avx2, Arithmetic::bf16));
  try {
    const PackedWeight weight({.storage = DType::bf16, .arithmetic = Arithmetic::bf16, .operands = DType::bf16}, 4, 4, Isa::avx2);
    FAIL() << "bf16 multiplied at avx2";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::unavailable);
  }
}

TEST(PackedWeightKernels, ServeSeveralContextsAtOnce) {
  const std::int64_t m = 50, n = 200, k = 96;
  std::mt19937 random(3);
  std::vector<float> w(static_cast<std::size_t>(n * k)), x(static_cast<std::size_t>(m * k));
  for (auto* values : {&w, &x})
    for (float& v : *values) v = static_cast<float>(random() % 9) - 4;
  for (const WeightPlan& plan : {fp32_plan, int8_plan}) {
    PackedWeight weight(plan, n, k);
    weight.pack(0, n, w.data());
    const std::vector<float> alone = product(weight, x, m);
    std::vector<std::vector<float>> results(3);
    std::vector<std::thread> threads;
    for (auto& result : results)
      threads.emplace_back([&] {
        for (int i = 0; i < 5; ++i) result = product(weight, x, m, 2);
      });
    for (auto& thread : threads) thread.join();
    for (const auto& result : results) EXPECT_EQ(result, alone);
  }
}

// Small integers, whose sums every arithmetic has exactly: a row may have a kernel of its own.
TEST(PackedWeightKernels, GiveARowAloneWhatItGetsAmongOthers) {
  const std::int64_t m = 7, n = 70, k = 97;
  std::mt19937 random(5);
  std::vector<float> w(static_cast<std::size_t>(n * k)), x(static_cast<std::size_t>(m * k));
  for (auto* values : {&w, &x})
    for (float& v : *values) v = static_cast<float>(random() % 9) - 4;
  for (const Isa isa : levels())
    for (const WeightPlan& plan : {fp32_plan, bf16_plan, int8_plan}) {
      if (!multiplies(isa, plan.arithmetic)) continue;
      PackedWeight weight(plan, n, k, isa);
      weight.pack(0, n, w.data());
      const std::vector<float> together = product(weight, x, m);
      for (std::int64_t r = 0; r < m; ++r) {
        std::vector<float> row(x.begin() + r * k, x.begin() + (r + 1) * k);
        const std::vector<float> alone = product(weight, row, 1);
        for (std::int64_t c = 0; c < n; ++c)
          ASSERT_EQ(alone[static_cast<std::size_t>(c)], together[static_cast<std::size_t>(r * n + c)])
              << name_of(isa) << ", " << name_of(plan.arithmetic) << " [" << r << ", " << c << "]";
      }
      // Where many rows are multiplied by bf16's dot instructions, or by AMX, a row has another kernel, and it must have run.
      const std::vector<std::string> names = weight.kernels();
      std::string row_kernel = names[0];
      if (plan.arithmetic == Arithmetic::bf16) row_kernel = "eaq avx512 bf16 widened to f32";
      if (plan.arithmetic == Arithmetic::s8 && isa == Isa::amx) row_kernel = "eaq avx512 vnni s8";
      EXPECT_NE(std::find(names.begin(), names.end(), row_kernel), names.end()) << name_of(isa);
    }
}

// Integers so small that every arithmetic has their sums exactly; rows so long that kernels sum them in parts.
TEST(PackedWeightKernels, SumLongRowsOfEveryTypeExactly) {
  std::mt19937 random(13);
  const std::int64_t n = 200;
  for (const std::int64_t k : {1537, 3072, 3073})
    for (const std::int64_t m : {1, 2, 7, 130}) {
      std::vector<float> w(static_cast<std::size_t>(n * k)), x(static_cast<std::size_t>(m * k));
      for (auto* values : {&w, &x})
        for (float& v : *values) v = static_cast<float>(random() % 9) - 4;
      const std::vector<float> expected = exact_product(w, x, m, n, k);
      for (const Isa isa : levels())
        for (const WeightPlan& plan : {fp32_plan, bf16_plan, bf16_widened_plan, f16_widened_plan, mixed_plan}) {
          if (!multiplies(isa, plan.arithmetic)) continue;
          PackedWeight weight(plan, n, k, isa);
          weight.pack(0, n, w.data());
          ASSERT_EQ(product(weight, x, m), expected)
              << name_of(isa) << ", " << name_of(plan.arithmetic) << ", k " << k << ", m " << m;
        }
    }
}

// Where two values are read as one word, a row of them may begin within one.
TEST(PackedWeightKernels, TakeSixteenBitRowsWithAnOddNumberBetweenThem) {
  const std::int64_t m = 9, n = 70, k = 64, gap = 5;
  std::mt19937 random(17);
  std::vector<float> w(static_cast<std::size_t>(n * k)), x(static_cast<std::size_t>(m * k));
  for (auto* values : {&w, &x})
    for (float& v : *values) v = static_cast<float>(random() % 9) - 4;
  const std::vector<float> expected = exact_product(w, x, m, n, k);
  std::vector<bf16> wide(static_cast<std::size_t>(m * (k + gap)), bf16(std::numeric_limits<float>::quiet_NaN()));
  for (std::int64_t r = 0; r < m; ++r)
    for (std::int64_t c = 0; c < k; ++c)
      wide[static_cast<std::size_t>(r * (k + gap) + c)] = bf16(x[static_cast<std::size_t>(r * k + c)]);
  for (const Isa isa : levels())
    for (const WeightPlan& plan : {fp32_plan, bf16_plan, bf16_widened_plan, mixed_plan}) {
      if (!multiplies(isa, plan.arithmetic)) continue;
      PackedWeight weight(plan, n, k, isa);
      weight.pack(0, n, w.data());
      CpuContext context(2);
      std::vector<float> y(static_cast<std::size_t>(m * n));
      const Matrix from{DType::bf16, reinterpret_cast<std::byte*>(wide.data()), m, k, k + gap};
      weight.multiply(context, from, matrix_of(y, m, n), {});
      EXPECT_EQ(y, expected) << name_of(isa) << ", " << name_of(plan.arithmetic);
    }
}

TEST(PackedWeightKernels, TakeRowsWithGapsBetweenThem) {
  const std::int64_t m = 9, n = 70, k = 31, gap = 5;
  std::vector<float> w(static_cast<std::size_t>(n * k), 0.5f), x(static_cast<std::size_t>(m * k), 2.0f),
      wide(static_cast<std::size_t>(m * (k + gap)), std::numeric_limits<float>::quiet_NaN()),
      y(static_cast<std::size_t>(m * (n + gap)), -1.0f);
  for (std::int64_t r = 0; r < m; ++r)
    for (std::int64_t c = 0; c < k; ++c) wide[static_cast<std::size_t>(r * (k + gap) + c)] = 2.0f;
  for (const Isa isa : levels())
    for (const WeightPlan& plan : {fp32_plan, int8_plan}) {
      PackedWeight weight(plan, n, k, isa);
      weight.pack(0, n, w.data());
      CpuContext context(2);
      Matrix from = matrix_of(wide, m, k), to = matrix_of(y, m, n);
      from.stride = k + gap;
      to.stride = n + gap;
      weight.multiply(context, from, to, {});
      for (std::int64_t r = 0; r < m; ++r)
        for (std::int64_t c = 0; c < n + gap; ++c) {
          const float got = y[static_cast<std::size_t>(r * (n + gap) + c)];
          if (c < n) {
            EXPECT_NEAR(got, 31.0f, 31 * 1e-6) << name_of(isa);
          } else {
            EXPECT_EQ(got, -1.0f) << name_of(isa);
          }
        }
    }
}

}  // namespace
}  // namespace eaq

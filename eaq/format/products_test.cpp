// The contract of every format's products, over the whole registry: what a product gives is what its plain definition
// (round_weight, round_input, sums in double) gives, within what f32 sums and the result's storage may lose.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "eaq/format/testing.h"

namespace eaq {
namespace {

using namespace testing_format;

class Products : public testing::TestWithParam<std::string> {
 protected:
  const Format& format() const { return format_named(GetParam()); }
  std::unique_ptr<Product> make(const LinearWeight& weight) {
    const ProductMaker* maker = format().on("cpu");
    return maker->make(context_, weight);
  }
  void SetUp() override {
    const ProductMaker* maker = format().on("cpu");
    if (maker == nullptr) GTEST_SKIP() << GetParam() << " has no products on a CPU";
    const Support support = maker->support(context_);
    if (support.level == SupportLevel::refused) GTEST_SKIP() << GetParam() << ": " << support.reason;
  }
  CpuContext context_{2};
};

INSTANTIATE_TEST_SUITE_P(Formats, Products, testing::ValuesIn(format_names()), [](const auto& one) { return one.param; });

constexpr std::array<std::int64_t, 7> row_counts{1, 2, 3, 8, 17, 128, 300};

TEST_P(Products, EqualThePlainDefinitionForOddAndEvenShapes) {
  constexpr std::array<std::array<std::int64_t, 2>, 10> shapes{
      {{1, 1}, {2, 768}, {3, 5}, {16, 31}, {64, 64}, {65, 63}, {127, 130}, {193, 257}, {401, 96}, {1025, 33}}};
  for (const auto& [n, k] : shapes) {
    Case first(format(), 1, n, k);
    fill_normal(first);
    const auto product = make(first.linear());
    for (const std::int64_t m : row_counts) {
      if (m * n > 60'000) continue;
      Case c(format(), m, n, k);
      c.bias = m % 2 == 1;
      fill_normal(c);
      c.check(*product, context_);
    }
  }
}

TEST_P(Products, EqualThePlainDefinitionForAModelsShapes) {
  for (const std::int64_t m : {1, 8, 300}) {
    Case c(format(), m, 769, 768);
    fill_normal(c);
    c.check(*make(c.linear()), context_);
  }
}

TEST_P(Products, ReadAndWriteEveryStorage) {
  for (const DType x : {DType::f32, DType::bf16, DType::f16})
    for (const DType y : {DType::f32, DType::bf16, DType::f16})
      for (const std::int64_t m : {1, 5, 100}) {
        Case c(format(), m, 70, 129);
        c.x_dtype = x;
        c.y_dtype = y;
        c.bias = c.residual = true;
        fill_normal(c);
        c.check(*make(c.linear()), context_);
      }
}

TEST_P(Products, ApplyBiasActivationAndResidual) {
  for (const Activation a : {Activation::none, Activation::gelu, Activation::gelu_tanh, Activation::quick_gelu, Activation::relu,
                             Activation::silu, Activation::tanh, Activation::sigmoid})
    for (const bool residual : {false, true}) {
      Case c(format(), 19, 131, 65);
      c.activation = a;
      c.bias = true;
      c.residual = residual;
      fill_normal(c);
      c.check(*make(c.linear()), context_);
    }
}

TEST_P(Products, AddAResidualThatIsTheResultsOwnMemory) {
  Case c(format(), 33, 66, 64);
  c.residual = true;
  fill_normal(c);
  const auto product = make(c.linear());
  const Owned apart(DType::f32, c.m, c.n);
  product->run(context_, c.x->matrix, apart.matrix, c.epilogue());
  product->run(context_, c.x->matrix, c.added->matrix, c.epilogue());
  EXPECT_EQ(apart.values(), c.added->values());
}

TEST_P(Products, AreExactForIntegersThatTheFormatHolds) {
  for (const std::int64_t m : row_counts) {
    Case c(format(), m, 67, 769);
    fill_integers(c);
    const Owned y(DType::f32, c.m, c.n);
    make(c.linear())->run(context_, c.x->matrix, y.matrix, c.epilogue());
    const std::vector<float> got = y.values();
    for (std::int64_t i = 0; i < c.m * c.n; ++i)
      ASSERT_EQ(got[static_cast<std::size_t>(i)], static_cast<float>(c.expected(i / c.n, i % c.n).value))
          << c.describe() << " at " << i;
  }
}

TEST_P(Products, AreExactWithAllOperandsAtTheirLimits) {
  // 1000 * 127 * 127 < 2^24. Sums of pairs overflow 16 bits here: a kernel that saturates fails.
  for (const float sign : {1.0f, -1.0f})
    for (const std::int64_t m : {1, 7, 100}) {
      Case c(format(), m, 80, 1000);
      c.fill([] { return 127.0f; }, [=] { return sign * 127.0f; });
      const Owned y(DType::f32, c.m, c.n);
      make(c.linear())->run(context_, c.x->matrix, y.matrix, {});
      for (const float v : y.values()) ASSERT_EQ(v, sign * 127 * 127 * 1000) << c.describe();
    }
}

TEST_P(Products, GiveBackTheirRows) {
  Case c(format(), 1, 131, 67);
  fill_normal(c);
  const auto product = make(c.linear());
  // What casts its weight anew in each product still stores it as it came.
  const std::vector<float>& stored = format().traits().storage == "fp32" ? c.weight : c.plain_weight;
  std::vector<float> row(static_cast<std::size_t>(c.k));
  for (std::int64_t n = 0; n < c.n; ++n) {
    product->row(n, row.data());
    ASSERT_EQ(row, std::vector<float>(stored.begin() + n * c.k, stored.begin() + (n + 1) * c.k)) << c.describe() << ", row " << n;
  }
}

TEST_P(Products, StackPartsAndTurnTransposedOnes) {
  Case c(format(), 1, 200, 70);
  fill_normal(c);
  const auto whole = make(c.linear());
  LinearWeight stacked = c.linear();
  const auto* data = reinterpret_cast<const std::byte*>(c.weight.data());
  stacked.parts = {
      {DType::f32, {70, 70}, data}, {DType::f32, {1, 70}, data + 70 * 70 * 4}, {DType::f32, {129, 70}, data + 71 * 70 * 4}};
  std::vector<float> turned(c.weight.size());
  for (std::int64_t n = 0; n < c.n; ++n)
    for (std::int64_t k = 0; k < c.k; ++k)
      turned[static_cast<std::size_t>(k * c.n + n)] = c.weight[static_cast<std::size_t>(n * c.k + k)];
  LinearWeight transposed = c.linear();
  transposed.transposed = true;
  transposed.parts = {{DType::f32, {c.k, c.n}, reinterpret_cast<const std::byte*>(turned.data())}};
  std::vector<float> expected(static_cast<std::size_t>(c.k)), got(static_cast<std::size_t>(c.k));
  for (const LinearWeight& other : {stacked, transposed}) {
    const auto product = make(other);
    for (std::int64_t n = 0; n < c.n; ++n) {
      whole->row(n, expected.data());
      product->row(n, got.data());
      ASSERT_EQ(got, expected) << c.describe() << ", row " << n;
    }
  }
}

TEST_P(Products, LetNoNanOrInfinityVanish) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Case c(format(), 9, 70, 65);
    fill_normal(c);
    c.x->set(4, 7, bad);
    const Owned y(DType::f32, c.m, c.n);
    make(c.linear())->run(context_, c.x->matrix, y.matrix, {});
    const std::vector<float> got = y.values();
    for (std::int64_t i = 0; i < c.m * c.n; ++i)
      ASSERT_EQ(std::isfinite(got[static_cast<std::size_t>(i)]), i / c.n != 4) << c.describe() << " at " << i;
  }
  Case c(format(), 5, 70, 65);
  fill_normal(c);
  c.weight[3 * 65 + 64] = std::numeric_limits<float>::quiet_NaN();
  const Owned y(DType::f32, c.m, c.n);
  make(c.linear())->run(context_, c.x->matrix, y.matrix, {});
  const std::vector<float> got = y.values();
  for (std::int64_t i = 0; i < c.m * c.n; ++i)
    ASSERT_EQ(std::isfinite(got[static_cast<std::size_t>(i)]), i % c.n != 3) << c.describe() << " at " << i;
}

TEST_P(Products, OfZerosAreTheBias) {
  Case c(format(), 6, 70, 65);
  c.bias = true;
  c.fill([] { return 0.0f; }, [] { return 0.0f; });
  const Owned y(DType::f32, c.m, c.n);
  make(c.linear())->run(context_, c.x->matrix, y.matrix, c.epilogue());
  const std::vector<float> got = y.values();
  for (std::int64_t i = 0; i < c.m * c.n; ++i)
    ASSERT_EQ(got[static_cast<std::size_t>(i)], c.biases[static_cast<std::size_t>(i % c.n)]);
}

TEST_P(Products, ReportWhatRanAndNothingBefore) {
  Case c(format(), 3, 70, 65);
  fill_normal(c);
  const auto product = make(c.linear());
  EXPECT_TRUE(product->report().kernels.empty());
  const Owned y(DType::f32, c.m, c.n);
  product->run(context_, c.x->matrix, y.matrix, {});
  const KernelReport report = product->report();
  ASSERT_EQ(report.kernels.size(), 1u);
  EXPECT_EQ(report.storage, format().traits().storage);
  // The kernel itself names the type that it multiplies.
  EXPECT_NE(report.kernels[0].find(report.arithmetic), std::string::npos) << report.kernels[0];
  if (cpu_isa() == Isa::avx2) {
    EXPECT_EQ(report.kernels[0].find("avx512"), std::string::npos) << report.kernels[0];
  } else if (!report.kernels[0].starts_with("plain ")) {  // a plain loop is compiled once, for every processor
    EXPECT_TRUE(report.kernels[0].find("avx512") != std::string::npos || report.kernels[0].find("amx") != std::string::npos)
        << report.kernels[0];
  }
}

// A single row may be multiplied otherwise than many are.
TEST_P(Products, ReportTheArithmeticOfWhatRanSince) {
  Case many(format(), 3, 70, 65), one(format(), 1, 70, 65);
  fill_normal(many), fill_normal(one);
  const auto product = make(many.linear());
  const Owned y(DType::f32, many.m, many.n), row(DType::f32, 1, many.n);
  product->run(context_, one.x->matrix, row.matrix, {});
  const KernelReport first = product->report();
  ASSERT_EQ(first.kernels.size(), 1u);
  EXPECT_NE(first.kernels[0].find(first.arithmetic), std::string::npos) << first.kernels[0];
  EXPECT_EQ(first.arithmetic == "f32", first.kernels[0].ends_with("f32")) << first.kernels[0];
  product->begin_report();
  EXPECT_TRUE(product->report().kernels.empty());
  product->run(context_, many.x->matrix, y.matrix, {});
  const std::string second = product->report().arithmetic;
  product->run(context_, one.x->matrix, row.matrix, {});
  EXPECT_EQ(product->report().arithmetic, first.arithmetic == second ? second : second + "+" + first.arithmetic);
}

TEST_P(Products, HoldTheWeightOnce) {
  const std::int64_t n = 1000, k = 900;
  Case c(format(), 1, n, k);
  fill_normal(c);
  // Panels of up to 64 outputs, k up to a multiple of 64, and 8 bytes per output for steps.
  const double per_element = static_cast<double>(format().stored_bytes(n, k)) / static_cast<double>(n * k);
  EXPECT_LE(static_cast<double>(make(c.linear())->bytes()), per_element * 1024 * 960 + 8 * 1024);
}

}  // namespace
}  // namespace eaq

// The contract of every format's products, over the whole registry: what a product gives is what its plain definition
// (round_weight, round_input, sums in double) gives, within what f32 sums and the result's storage may lose.
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>

#include <cmath>
#include <cstdlib>
#include <random>

#include "eaq/format/format.h"

extern char** environ;

namespace eaq {
namespace {

constexpr unsigned seed = 20240229;  // shown with every failure

/// A matrix with memory of its own.
struct Owned {
  Tensor tensor;
  Matrix matrix;

  Owned(DType dtype, std::int64_t rows, std::int64_t cols) : tensor(dtype, {rows, cols}) {
    matrix = {.dtype = dtype, .data = tensor.buffer.data(), .rows = rows, .cols = cols, .stride = cols};
  }
  void set(std::int64_t r, std::int64_t c, float v) {
    const auto i = static_cast<std::size_t>(r * matrix.stride + c);
    if (matrix.dtype == DType::f32) tensor.as<float>()[i] = v;
    if (matrix.dtype == DType::bf16) tensor.as<bf16>()[i] = bf16(v);
    if (matrix.dtype == DType::f16) tensor.as<f16>()[i] = f16(v);
  }
  std::vector<float> values() const { return to_f32(tensor.view()); }
};

double unit_roundoff(DType dtype) {
  return dtype == DType::f32 ? std::ldexp(1, -24) : dtype == DType::f16 ? std::ldexp(1, -11) : std::ldexp(1, -8);
}
double smallest_step(DType dtype) { return dtype == DType::f16 ? std::ldexp(1, -24) : 0; }

double activate(Activation a, double x) {
  switch (a) {
    case Activation::none:
      return x;
    case Activation::gelu:
      return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
    case Activation::gelu_tanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
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

/// A weight, an input and what is done to the result, with the plain definition's operands beside them.
struct Case {
  const Format& format;
  std::int64_t m, n, k;
  DType x_dtype = DType::f32, y_dtype = DType::f32;
  Activation activation = Activation::none;
  bool bias = false, residual = false;

  std::vector<float> weight, plain_weight, plain_x, biases;
  std::unique_ptr<Owned> x, added;
  double scale = 1;

  Case(const Format& of, std::int64_t rows, std::int64_t outputs, std::int64_t inputs)
      : format(of), m(rows), n(outputs), k(inputs), weight(static_cast<std::size_t>(outputs * inputs)) {}

  LinearWeight linear() const {
    return {.parts = {{DType::f32, {n, k}, reinterpret_cast<const std::byte*>(weight.data())}},
            .transposed = false,
            .out_features = n,
            .in_features = k};
  }

  void fill(const std::function<float()>& weight_value, const std::function<float()>& x_value) {
    for (float& w : weight) w = weight_value();
    x = std::make_unique<Owned>(x_dtype, m, k);
    for (std::int64_t r = 0; r < m; ++r)
      for (std::int64_t c = 0; c < k; ++c) x->set(r, c, x_value());
    prepare();
  }
  /// The plain definition's operands, from `weight` and `x` as they are.
  void prepare() {
    plain_weight = weight;
    format.round_weight(plain_weight.data(), n, k);
    plain_x = x->values();
    for (std::int64_t r = 0; r < m; ++r) format.round_input(plain_x.data() + r * k, k);
    std::mt19937 random(seed + 1);
    std::normal_distribution<float> normal;
    biases.resize(static_cast<std::size_t>(n));
    for (float& b : biases) b = bias ? normal(random) : 0;
    if (!residual) return;
    added = std::make_unique<Owned>(y_dtype, m, n);
    for (std::int64_t r = 0; r < m; ++r)
      for (std::int64_t c = 0; c < n; ++c) added->set(r, c, normal(random));
  }

  Epilogue epilogue() const {
    return {.bias = bias ? biases.data() : nullptr, .activation = activation, .residual = residual ? &added->matrix : nullptr};
  }

  struct Expected {
    double value = 0, tolerance = 0;
  };
  /// Sums of k products in f32, in any order, lose at most k roundings of the sum of magnitudes; in practice far less, so a tenth
  /// of that is asked for (and at least four). Activations: 2e-6, and slopes up to 1.2.
  Expected expected(std::int64_t r, std::int64_t c) const {
    double sum = 0, magnitude = 0;
    for (std::int64_t i = 0; i < k; ++i) {
      const double product =
          static_cast<double>(plain_x[static_cast<std::size_t>(r * k + i)]) * plain_weight[static_cast<std::size_t>(c * k + i)];
      sum += product;
      magnitude += std::fabs(product);
    }
    const double u = unit_roundoff(DType::f32), with_bias = sum + static_cast<double>(biases[static_cast<std::size_t>(c)]);
    const double lost = u * (std::max(4.0, 0.1 * static_cast<double>(k)) * magnitude + std::fabs(with_bias));
    double value = activate(activation, with_bias);
    double tolerance = 1.2 * lost + 4e-6 * std::fabs(value) + (activation == Activation::none ? 0 : 1e-6);
    if (residual) value += added->values()[static_cast<std::size_t>(r * n + c)];
    tolerance += (u + unit_roundoff(y_dtype)) * std::fabs(value) + smallest_step(y_dtype);
    return {value, tolerance};
  }

  void check(const Product& product, CpuContext& context) const {
    const Owned y(y_dtype, m, n);
    product.run(context, x->matrix, y.matrix, epilogue());
    const std::vector<float> got = y.values();
    // Every element of small results; of large ones every row and column, not all their crossings.
    const std::int64_t stride = m * n * k > 4'000'000 ? 61 : 1;
    double norm = 0;
    int wrong = 0;
    for (std::int64_t i = 0; i < m * n; i += stride) {
      const Expected e = expected(i / n, i % n);
      norm += e.value * e.value;
      const double difference = std::fabs(static_cast<double>(got[static_cast<std::size_t>(i)]) - e.value);
      if (difference <= e.tolerance || ++wrong > 3) continue;
      ADD_FAILURE() << describe() << ": y[" << i / n << ", " << i % n << "] is " << got[static_cast<std::size_t>(i)] << ", not "
                    << e.value << " within " << e.tolerance;
    }
    EXPECT_EQ(wrong, 0) << describe();
    EXPECT_GT(norm, 0) << describe();
  }

  std::string describe() const {
    return std::string(format.traits().name) + " [" + std::to_string(m) + ", " + std::to_string(k) + "] x [" + std::to_string(n) +
           ", " + std::to_string(k) + "]^T, x " + std::string(name_of(x_dtype)) + ", y " + std::string(name_of(y_dtype)) +
           ", activation " + std::to_string(static_cast<int>(activation)) + (bias ? ", bias" : "") +
           (residual ? ", residual" : "") + ", level " + std::string(name_of(cpu_isa())) + ", seed " + std::to_string(seed);
  }
};

/// Normal values as a trained model has them: weights around 0.05, activations around 1 with an outlier now and then.
void fill_normal(Case& c) {
  auto random = std::make_shared<std::mt19937>(seed);
  c.fill([=] { return 0.05f * std::normal_distribution<float>()(*random); },
         [=] { return std::normal_distribution<float>()(*random) * ((*random)() % 97 == 0 ? 20.0f : 1.0f); });
}

/// Integers from -127 to 127 with 127 in every row: every format holds them exactly, and sums below 2^24 are exact in f32.
void fill_integers(Case& c) {
  auto random = std::make_shared<std::mt19937>(seed);
  const auto k = c.k;
  const auto counted = [=] {
    auto next = std::make_shared<std::int64_t>(0);
    return [=] { return (*next)++ % k == 0 ? 127.0f : static_cast<float>(static_cast<int>((*random)() % 255) - 127); };
  };
  c.fill(counted(), counted());
}

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

std::vector<std::string> format_names() {
  std::vector<std::string> names;
  for (const auto& row : formats())
    if (row.entry != nullptr) names.emplace_back(row.name);
  return names;
}
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

TEST_P(Products, HoldTheWeightOnce) {
  const std::int64_t n = 1000, k = 900;
  Case c(format(), 1, n, k);
  fill_normal(c);
  // Panels of up to 64 outputs, k up to a multiple of 64, and 8 bytes per output for steps.
  const double per_element = static_cast<double>(format().stored_bytes(n, k)) / static_cast<double>(n * k);
  EXPECT_LE(static_cast<double>(make(c.linear())->bytes()), per_element * 1024 * 960 + 8 * 1024);
}

TEST(Int8Products, MultiplyIntegersAndSaySo) {
  const Format& format = format_named("int8");
  Case c(format, 3, 70, 65);
  fill_normal(c);
  CpuContext context(1);
  const auto product = format.on("cpu")->make(context, c.linear());
  const Owned y(DType::f32, c.m, c.n);
  product->run(context, c.x->matrix, y.matrix, {});
  const KernelReport report = product->report();
  EXPECT_EQ(report.arithmetic, "s8");
  EXPECT_EQ(report.storage, "int8");
  EXPECT_NE(report.kernels.at(0).find("s8"), std::string::npos);
  EXPECT_EQ(report.kernels.at(0).find("f32"), std::string::npos);
}

TEST(Bf16Products, AreNativeExactlyWhereBf16IsMultiplied) {
  const Format& format = format_named("bf16");
  Case c(format, 3, 70, 65);
  fill_normal(c);
  CpuContext context(1);
  const auto product = format.on("cpu")->make(context, c.linear());
  const Owned y(DType::f32, c.m, c.n);
  product->run(context, c.x->matrix, y.matrix, {});
  const Support support = format.on("cpu")->support(context);
  EXPECT_EQ(product->report().arithmetic == "bf16", support.level == SupportLevel::native);
  EXPECT_EQ(support.reason.empty(), support.level == SupportLevel::native);
}

TEST(LinearWeightCheck, NamesShapesThatDoNotStack) {
  const std::vector<float> data(12);
  LinearWeight weight{.parts = {{DType::f32, {3, 4}, reinterpret_cast<const std::byte*>(data.data())}},
                      .transposed = false,
                      .out_features = 4,
                      .in_features = 4};
  CpuContext context(1);
  try {
    format_named("fp32").on("cpu")->make(context, weight);
    FAIL() << "3 rows passed for 4";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::input);
    EXPECT_NE(std::string(e.what()).find("[3, 4]"), std::string::npos) << e.what();
  }
}

TEST(Formats, AnUnknownNameIsAnsweredWithTheNamesThereAre) {
  try {
    format_named("fp33");
    FAIL() << "fp33 was found";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::usage);
    for (const std::string& name : format_names()) EXPECT_NE(std::string(e.what()).find(name), std::string::npos) << e.what();
  }
}

TEST(Formats, AreCalledAsTheirFolders) {
  for (const auto& row : formats())
    if (row.entry != nullptr) {
      EXPECT_EQ(row.entry->traits().name, row.name);
    }
}

TEST(Formats, RoundWeightsToWithinHalfAStep) {
  for (const std::string& name : format_names()) {
    Case c(format_named(name), 1, 50, 100);
    fill_normal(c);
    const std::string_view storage = name.find("bf16") != std::string::npos   ? "bf16"
                                     : name.find("fp16") != std::string::npos ? "fp16"
                                                                              : c.format.traits().storage;
    double norm = 0;
    for (std::int64_t n = 0; n < c.n; ++n) {
      float largest = 0;
      for (std::int64_t k = 0; k < c.k; ++k)
        largest = std::max(largest, std::fabs(c.weight[static_cast<std::size_t>(n * c.k + k)]));
      for (std::int64_t k = 0; k < c.k; ++k) {
        const double w = c.weight[static_cast<std::size_t>(n * c.k + k)],
                     got = c.plain_weight[static_cast<std::size_t>(n * c.k + k)];
        const double step = storage == "fp32"   ? 0
                            : storage == "bf16" ? unit_roundoff(DType::bf16) * std::fabs(w)
                            : storage == "fp16" ? unit_roundoff(DType::f16) * std::fabs(w) + std::ldexp(1, -25)
                                                : 1.0001 * largest / 254;
        if (storage == "int8" || storage == "fp32" || storage == "bf16" || storage == "fp16") {
          EXPECT_LE(std::fabs(got - w), step) << name;
        }
        norm += got * got;
      }
    }
    EXPECT_GT(norm, 0) << name;
  }
}

// The level is read once per process: each lower one gets a process of its own.
TEST(ProductsAtEveryLevel, OfThisMachine) {
  if (std::getenv("EAQ_CPU_ISA") != nullptr) GTEST_SKIP() << "already at a level of its own";
  for (int level = 0; level < static_cast<int>(cpu_isa()); ++level) {
    const std::string isa = "EAQ_CPU_ISA=" + std::string(name_of(static_cast<Isa>(level)));
    std::string program = "/proc/self/exe", filter = "--gtest_filter=*Products.*:*Products/*", brief = "--gtest_brief=1";
    std::array<char*, 4> arguments{program.data(), filter.data(), brief.data(), nullptr};
    std::vector<char*> environment{const_cast<char*>(isa.c_str())};
    for (char** e = environ; *e != nullptr; ++e) environment.push_back(*e);
    environment.push_back(nullptr);
    pid_t child = 0;
    ASSERT_EQ(posix_spawn(&child, program.c_str(), nullptr, nullptr, arguments.data(), environment.data()), 0);
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << isa << ": status " << status;
  }
}

}  // namespace
}  // namespace eaq

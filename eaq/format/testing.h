// Private to format's tests: a product's operands by the plain definition, and what its result may differ by.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "eaq/format/format.h"

namespace eaq::testing_format {

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

inline double unit_roundoff(DType dtype) {
  return dtype == DType::f32 ? std::ldexp(1, -24) : dtype == DType::f16 ? std::ldexp(1, -11) : std::ldexp(1, -8);
}
inline double smallest_step(DType dtype) { return dtype == DType::f16 ? std::ldexp(1, -24) : 0; }

inline double activate(Activation a, double x) {
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
inline void fill_normal(Case& c) {
  auto random = std::make_shared<std::mt19937>(seed);
  c.fill([=] { return 0.05f * std::normal_distribution<float>()(*random); },
         [=] { return std::normal_distribution<float>()(*random) * ((*random)() % 97 == 0 ? 20.0f : 1.0f); });
}

/// Integers from -127 to 127 with 127 in every row: every format holds them exactly, and sums below 2^24 are exact in f32.
inline void fill_integers(Case& c) {
  auto random = std::make_shared<std::mt19937>(seed);
  const auto k = c.k;
  const auto counted = [=] {
    auto next = std::make_shared<std::int64_t>(0);
    return [=] { return (*next)++ % k == 0 ? 127.0f : static_cast<float>(static_cast<int>((*random)() % 255) - 127); };
  };
  c.fill(counted(), counted());
}

inline std::vector<std::string> format_names() {
  std::vector<std::string> names;
  for (const auto& row : formats())
    if (row.entry != nullptr) names.emplace_back(row.name);
  return names;
}
}  // namespace eaq::testing_format

// The same small Programs on every backend, on the same random values: what the contract tests are made of.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "eaq/backend/backend.h"

namespace eaq::testing_backend {

inline constexpr unsigned seed = 20261124;

// A Program of one op, with what it reads. Values are filled from a seeded generator, the same on every backend.
struct Case {
  std::string name;
  std::vector<ValueInfo> values;
  std::function<Op(const Backend&, ExecutionContext&)> op;
  std::string format = "fp32";  // of what `op` multiplies; devices that refuse it are left out
};

inline std::shared_ptr<const std::vector<float>> random_vector(std::int64_t n, unsigned salt) {
  std::mt19937 random(seed + salt);
  std::normal_distribution<float> normal;
  auto values = std::make_shared<std::vector<float>>(static_cast<std::size_t>(n));
  for (float& x : *values) x = normal(random);
  return values;
}

inline std::shared_ptr<const Product> product_of(const Backend& backend, ExecutionContext& context, const char* format,
                                                 std::int64_t out, std::int64_t in) {
  const auto values = random_vector(out * in, 7);
  const Tensor weight(Shape{out, in}, std::span<const float>(*values));
  LinearWeight linear;
  linear.parts = {weight.view()}, linear.out_features = out, linear.in_features = in;
  return backend.make_product(format_named(format), context, linear);
}

struct Shapes {
  std::vector<std::int32_t> row_begin;
  std::vector<std::int32_t> past;
  bool masked = false;
};

class Runner {
 public:
  Runner(const Backend& backend, const Shapes& shapes)
      : backend_(backend), context_(backend.make_context({.threads = 2})), shapes_(shapes) {
    const auto rows = static_cast<std::size_t>(shapes.row_begin.back());
    std::mt19937 random(seed);
    for (std::size_t r = 0; r < rows; ++r)
      ids_.push_back(static_cast<std::int32_t>(random() % 13)), positions_.push_back(static_cast<std::int32_t>(random() % 11));
    for (std::size_t r = 0; shapes.masked && r < rows; ++r) mask_.push_back(r % 3 != 1);
  }

  bool refuses(const std::string& format) const {
    return backend_.support(format_named(format), *context_).level == SupportLevel::refused;
  }

  // The value `out` after one run, as doubles.
  std::vector<double> run(const Case& c, Value out) {
    Program program;
    program.values = c.values;
    program.output = out;
    program.steps.push_back({"site", StepKind::other, "fp32", c.op(backend_, *context_), {}});
    return run(std::move(program));
  }

  // The output of a whole Program.
  std::vector<double> run(Program program) {
    const std::vector<ValueInfo>& values = program.values;
    backend_.bind(program, *context_);

    const Batch batch{ids_, positions_, shapes_.row_begin, mask_, shapes_.past};
    std::vector<DeviceMemory> memory;
    std::vector<Matrix> matrices;
    for (std::size_t v = 0; v < values.size(); ++v) {
      const std::int64_t rows = values[v].rows == RowsPer::token ? batch.rows() : batch.sequences();
      matrices.push_back(placed(memory, values[v], rows, static_cast<unsigned>(v)));
    }
    std::unique_ptr<KvCache> cache;
    if (!shapes_.past.empty()) {
      const std::int64_t width = values[1].width;
      cache = std::make_unique<KvCache>(*context_, values[0].dtype, 1, batch.sequences(), 40, width);
      auto old = *random_vector(batch.sequences() * 40 * width, 99);
      store(cache->keys.data(), old, cache->dtype);
      std::reverse(old.begin(), old.end());
      store(cache->values.data(), old, cache->dtype);
    }
    const auto on_device = backend_.place(*context_, batch);
    for (const Step& step : program.steps) step.run({*context_, batch, matrices, cache.get(), on_device.get()});
    context_->synchronise();
    return loaded(matrices[static_cast<std::size_t>(program.output)]);
  }

 private:
  // Random rows in the device's memory, begun where the backend wants rows to begin.
  Matrix placed(std::vector<DeviceMemory>& memory, const ValueInfo& info, std::int64_t rows, unsigned salt) {
    const std::int64_t align = backend_.row_alignment(), stride = (info.width + align - 1) / align * align;
    const auto values = random_vector(rows * info.width, salt);
    std::vector<float> spread(static_cast<std::size_t>(rows * stride), NAN);
    for (std::int64_t r = 0; r < rows; ++r)
      std::copy_n(values->begin() + r * info.width, info.width, spread.begin() + r * stride);
    memory.push_back(context_->allocate(spread.size() * size_of(info.dtype), "a value"));
    store(memory.back().data(), spread, info.dtype);
    return {info.dtype, memory.back().data(), rows, info.width, stride};
  }
  void store(std::byte* to, std::span<const float> values, DType dtype) {
    const Tensor wide({static_cast<std::int64_t>(values.size())}, values);
    const Tensor stored = stored_as(dtype, wide.view());
    context_->upload(to, {stored.buffer.data(), stored.buffer.size()});
  }
  std::vector<double> loaded(const Matrix& matrix) {
    const std::int64_t all = (matrix.rows - 1) * matrix.stride + matrix.cols;
    Tensor stored(matrix.dtype, {all});
    context_->download({stored.buffer.data(), stored.buffer.size()}, matrix.data);
    std::vector<float> spread(static_cast<std::size_t>(all));
    to_f32(stored.view(), spread);
    std::vector<double> values;
    for (std::int64_t r = 0; r < matrix.rows; ++r)
      values.insert(values.end(), spread.begin() + r * matrix.stride, spread.begin() + r * matrix.stride + matrix.cols);
    return values;
  }

  const Backend& backend_;
  std::unique_ptr<ExecutionContext> context_;
  Shapes shapes_;
  std::vector<std::int32_t> ids_, positions_;
  std::vector<std::uint8_t> mask_;
};

inline void expect_same_as_reference(const Case& c, Value out, const Shapes& shapes, double tolerance = 3e-5) {
  const std::vector<double> wanted = Runner(backend_named("ref"), shapes).run(c, out);
  double norm = 0;
  for (const double x : wanted) norm = std::max(norm, std::abs(x));
  ASSERT_GT(norm, 0) << c.name;
  for (const auto& row : backends()) {
    if (row.entry == nullptr || row.entry->device() == "ref" || !row.entry->unavailable_reason().empty()) continue;
    Runner runner(*row.entry, shapes);
    if (runner.refuses(c.format)) continue;
    const std::vector<double> got = runner.run(c, out);
    ASSERT_EQ(got.size(), wanted.size());
    for (std::size_t i = 0; i < got.size(); ++i)
      ASSERT_NEAR(got[i], wanted[i], tolerance * norm) << row.name << ", " << c.name << ", element " << i << ", seed " << seed;
  }
}

inline const std::vector<Shapes> ragged{{{0, 1}, {}}, {{0, 7, 8, 31}, {}}, {{0, 65}, {}}, {{0, 16, 33, 50}, {}, true}};

}  // namespace eaq::testing_backend

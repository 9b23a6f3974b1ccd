// Known work on a CPU: one f32 product of fixed shape, on all threads.
#include <algorithm>
#include <random>

#include "eaq/kernel/kernel.h"

namespace eaq::kernel_cpu {
namespace {

constexpr std::int64_t inputs = 1024, outputs = 1024;

std::vector<float> random_values(std::int64_t count, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& v : values) v = normal(random);
  return values;
}

class CpuLoad : public Load {
 public:
  explicit CpuLoad(const LoadOptions& options)
      : context_(options.threads),
        rows_(options.rows > 0 ? options.rows : 512),
        weight_({}, outputs, inputs),
        x_(random_values(rows_ * inputs, 1)),
        y_(static_cast<std::size_t>(rows_ * outputs)) {
    weight_.pack(0, outputs, random_values(outputs * inputs, 2).data());
  }
  std::string device() const override { return "cpu"; }
  std::string description() const override {
    return "f32 product " + std::to_string(rows_) + " x 1024 x 1024 on " + std::to_string(context_.threads()) + " threads";
  }
  double operations() const override { return 2.0 * static_cast<double>(rows_) * inputs * outputs; }
  void run(std::int64_t units) override {
    for (std::int64_t i = 0; i < units; ++i) weight_.multiply(context_, matrix(x_, inputs), matrix(y_, outputs), {});
  }

 private:
  Matrix matrix(std::vector<float>& values, std::int64_t cols) const {
    return {
        .dtype = DType::f32, .data = reinterpret_cast<std::byte*>(values.data()), .rows = rows_, .cols = cols, .stride = cols};
  }

  CpuContext context_;
  std::int64_t rows_;
  PackedWeight weight_;
  std::vector<float> x_, y_;
};

}  // namespace

const ComputeDevice& entry() {
  static const ComputeDevice device{
      "this machine's processor",
      [] { return std::vector<std::string>{cpu_info().model}; },
      [](int, const LoadOptions& options) -> std::unique_ptr<Load> { return std::make_unique<CpuLoad>(options); },
  };
  return device;
}

}  // namespace eaq::kernel_cpu

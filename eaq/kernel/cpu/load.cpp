// Known work on a CPU: one f32 product of fixed shape, on all threads.
#include <random>

#include "eaq/kernel/kernel.h"

namespace eaq::kernel_cpu {
namespace {

constexpr std::int64_t rows = 512, inputs = 1024, outputs = 1024;

std::vector<float> random_values(std::int64_t count, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& v : values) v = normal(random);
  return values;
}

class CpuLoad : public Load {
 public:
  explicit CpuLoad(int threads)
      : context_(threads), weight_({}, outputs, inputs), x_(random_values(rows * inputs, 1)), y_(rows * outputs) {
    weight_.pack(0, outputs, random_values(outputs * inputs, 2).data());
  }
  std::string device() const override { return "cpu"; }
  std::string description() const override {
    return "f32 product 512 x 1024 x 1024 on " + std::to_string(context_.threads()) + " threads";
  }
  double operations() const override { return 2.0 * rows * inputs * outputs; }
  void run(std::int64_t units) override {
    for (std::int64_t i = 0; i < units; ++i) weight_.multiply(context_, matrix(x_, inputs), matrix(y_, outputs), {});
  }

 private:
  static Matrix matrix(std::vector<float>& values, std::int64_t cols) {
    return {.dtype = DType::f32, .data = reinterpret_cast<std::byte*>(values.data()), .rows = rows, .cols = cols, .stride = cols};
  }

  CpuContext context_;
  PackedWeight weight_;
  std::vector<float> x_, y_;
};

}  // namespace

const ComputeDevice& entry() {
  static const ComputeDevice device{
      "this machine's processor",
      [] { return std::vector<std::string>{cpu_info().model}; },
      [](int, int threads) -> std::unique_ptr<Load> { return std::make_unique<CpuLoad>(threads); },
  };
  return device;
}

}  // namespace eaq::kernel_cpu

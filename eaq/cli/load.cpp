// Full load of a device, for calibration.
#include <cmath>
#include <memory>

#include "eaq/cli/cli.h"
#include "eaq/kernel/kernel.h"

namespace eaq {
namespace {

// A product with trained models' shapes, on all threads: about 0.15 GFLOP for each, so some milliseconds. Values are of unit
// scale: zeros would draw less.
class CpuLoad {
 public:
  explicit CpuLoad(int threads)
      : context_(threads),
        weight_({.storage = DType::bf16,
                 .arithmetic = multiplies(cpu_isa(), Arithmetic::bf16) ? Arithmetic::bf16 : Arithmetic::f32,
                 .operands = DType::bf16},
                features, features),
        x_(static_cast<std::size_t>(rows() * features)),
        y_(x_.size()) {
    Rng rng(0);
    std::vector<float> weights(static_cast<std::size_t>(features * features));
    for (float& w : weights) w = static_cast<float>(rng.normal() / std::sqrt(static_cast<double>(features)));
    for (float& x : x_) x = static_cast<float>(rng.normal());
    weight_.pack(0, features, weights.data());
  }
  void work() { weight_.multiply(context_, matrix(x_), matrix(y_), {}); }
  std::string name() const {
    return "bf16 product " + std::to_string(rows()) + " x " + std::to_string(features) + " x " + std::to_string(features) +
           " on " + std::to_string(context_.threads()) + " threads";
  }

 private:
  static constexpr std::int64_t features = 768, rows_per_thread = 128;
  std::int64_t rows() const { return rows_per_thread * context_.threads(); }
  Matrix matrix(std::vector<float>& values) const {
    return {DType::f32, reinterpret_cast<std::byte*>(values.data()), rows(), features, features};
  }

  CpuContext context_;
  PackedWeight weight_;
  std::vector<float> x_, y_;
};

}  // namespace

CalibrationLoad make_load(const std::string& device, int threads, StepListener* listener) {
  if (device != "cpu")
    throw Error(ErrorKind::unavailable, "--device " + printable(device) + ": there is no load for it; loads here: cpu");
  const auto load = std::make_shared<CpuLoad>(threads);
  return {load->name(), [load, listener] {
            const Seconds start = monotonic_clock().now();
            if (listener != nullptr) listener->on_begin("linear", "bf16", start);
            load->work();
            if (listener != nullptr) listener->on_step("linear", "bf16", start, monotonic_clock().now());
          }};
}

}  // namespace eaq

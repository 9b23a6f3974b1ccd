// Full load of a device, for calibration.
#include <algorithm>
#include <cmath>
#include <memory>

#include "eaq/cli/cli.h"
#include "eaq/kernel/kernel.h"

namespace eaq {
namespace {

constexpr Seconds about(0.003);  // of one unit of a calibration's work: short beside a sensor's period, long beside a launch

// How many runs of the load make one unit: a power of two, so that the same device comes to the same.
std::int64_t runs_per_unit(Load& load) {
  Clock& clock = monotonic_clock();
  load.run(4);
  const Seconds begun = clock.now();
  load.run(16);
  const double runs = about / ((clock.now() - begun) / 16);
  return runs <= 1 ? 1 : std::int64_t{1} << std::lround(std::log2(runs));
}

}  // namespace

CalibrationLoad make_load(const std::shared_ptr<Load>& load, StepListener* listener) {
  const std::int64_t runs = runs_per_unit(*load);
  return {std::to_string(runs) + " x " + load->description(), [load, runs, listener] {
            const Seconds start = monotonic_clock().now();
            if (listener != nullptr) listener->on_begin("linear", "bf16", start);
            load->run(runs);
            if (listener != nullptr) listener->on_step("linear", "bf16", start, monotonic_clock().now());
          }};
}

}  // namespace eaq

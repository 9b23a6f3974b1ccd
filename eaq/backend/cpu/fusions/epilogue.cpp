// linear + activation and linear + residual: the product's epilogue does both while a tile of its result is still in the cache,
// which saves a pass over memory each. Only a value that nobody else reads may disappear.
#include <algorithm>

#include "eaq/backend/cpu/cpu.h"

namespace eaq::backend_cpu {
namespace {

int readers_of(const Program& program, Value value) {
  int readers = value == program.output ? 1 : 0;
  for (const Step& step : program.steps) {
    const auto reads = reads_of(step.op);
    readers += static_cast<int>(std::count(reads.begin(), reads.end(), value));
  }
  return readers;
}

// Calls `merge(linear, next)` on neighbours whose first is a linear that hands its value to the second alone; drops the second
// where it returns true.
template <class Next, class Merge>
void fuse(Program& program, Merge merge) {
  auto& steps = program.steps;
  for (std::size_t i = 0; i + 1 < steps.size(); ++i) {
    auto* linear = std::get_if<LinearOp>(&steps[i].op);
    const auto* next = std::get_if<Next>(&steps[i + 1].op);
    if (linear == nullptr || next == nullptr || readers_of(program, linear->out) != 1) continue;
    if (merge(*linear, *next)) steps.erase(steps.begin() + static_cast<std::ptrdiff_t>(i) + 1);
  }
}

}  // namespace

void fuse_activation(Program& program) {
  fuse<ActivationOp>(program, [](LinearOp& linear, const ActivationOp& next) {
    if (next.in != linear.out || linear.residual != no_value || linear.activation != Activation::none) return false;
    linear.activation = next.activation;
    linear.out = next.out;
    return true;
  });
}

void fuse_residual(Program& program) {
  fuse<ResidualOp>(program, [](LinearOp& linear, const ResidualOp& next) {
    if (linear.residual != no_value || (next.a != linear.out && next.b != linear.out) || next.a == next.b) return false;
    linear.residual = next.a == linear.out ? next.b : next.a;
    linear.out = next.out;
    return true;
  });
}

}  // namespace eaq::backend_cpu

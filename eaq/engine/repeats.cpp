#include "eaq/engine/repeats.h"

namespace eaq {

Program repeated(const Program& program, const Repeats& repeats) {
  Program whole{program.values, {}, program.output};
  std::vector<int> seen(program.steps.size(), 0);  // times that each step ran so far beyond once a pass
  for (const std::vector<int>& times : repeats.passes) {
    if (times.size() != program.steps.size())
      throw Error(ErrorKind::bug, "repeats for " + std::to_string(times.size()) + " steps of a program of " +
                                      std::to_string(program.steps.size()));
    for (std::size_t i = 0; i < times.size(); ++i) {
      if (times[i] < 1) throw Error(ErrorKind::bug, "a step of a program must run at least once");
      for (int n = 0; n < times[i]; ++n) {
        Step& step = whole.steps.emplace_back(program.steps[i]);
        step.run = nullptr;
        auto* linear = std::get_if<LinearOp>(&step.op);
        if (n == 0 || linear == nullptr || !repeats.weights) continue;
        if (auto other = repeats.weights(program.steps[i], ++seen[i])) linear->product = std::move(other);
      }
    }
  }
  return whole;
}

}  // namespace eaq

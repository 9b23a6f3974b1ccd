// Neighbours that become one step: a product's epilogue does activation and residual while a tile of its result is at hand, an
// embedding norms the row that it has gathered; each saves a pass over memory. Only a value that nobody else reads may disappear.
#include <algorithm>

#include "eaq/backend/fusions.h"

namespace eaq {

int readers_of(const Program& program, Value value) {
  int readers = value == program.output ? 1 : 0;
  for (const Step& step : program.steps) {
    const auto reads = reads_of(step.op);
    readers += static_cast<int>(std::count(reads.begin(), reads.end(), value));
  }
  return readers;
}

void replace_reads(Program& program, Value of, Value by) {
  const auto replace = [&](Value& value) {
    if (value == of) value = by;
  };
  for (Step& step : program.steps)
    std::visit(
        [&](auto& op) {
          if constexpr (requires { op.in; }) replace(op.in);
          if constexpr (requires { op.residual; }) replace(op.residual);
          if constexpr (requires { op.add; }) replace(op.add);
          if constexpr (requires { op.b; }) replace(op.a), replace(op.b);
        },
        step.op);
  replace(program.output);
}

namespace {

// Calls `merge(first, next)` on neighbours whose first hands its value to the second alone; drops the second where it returns
// true.
template <class First, class Next, class Merge>
void fuse(Program& program, Merge merge) {
  auto& steps = program.steps;
  for (std::size_t i = 0; i + 1 < steps.size(); ++i) {
    auto* first = std::get_if<First>(&steps[i].op);
    const auto* next = std::get_if<Next>(&steps[i + 1].op);
    if (first == nullptr || next == nullptr || readers_of(program, first->out) != 1) continue;
    if (merge(*first, *next)) steps.erase(steps.begin() + static_cast<std::ptrdiff_t>(i) + 1);
  }
}

}  // namespace

void fuse_activation(Program& program) {
  fuse<LinearOp, ActivationOp>(program, [](LinearOp& linear, const ActivationOp& next) {
    if (next.in != linear.out || linear.residual != no_value || linear.activation != Activation::none) return false;
    linear.activation = next.activation;
    linear.out = next.out;
    return true;
  });
}

void fuse_residual(Program& program) {
  fuse<LinearOp, ResidualOp>(program, [](LinearOp& linear, const ResidualOp& next) {
    if (linear.residual != no_value || (next.a != linear.out && next.b != linear.out) || next.a == next.b) return false;
    linear.residual = next.a == linear.out ? next.b : next.a;
    linear.out = next.out;
    return true;
  });
}

void fuse_embedding_norm(Program& program) {
  fuse<EmbeddingOp, NormOp>(program, [](EmbeddingOp& embedding, const NormOp& next) {
    if (next.in != embedding.out || next.add != no_value || embedding.norm) return false;
    embedding.norm = next.norm;
    embedding.out = next.out;
    return true;
  });
}

void fuse_norm_linear(Program& program, bool (*together)(const LinearOp&)) {
  auto& steps = program.steps;
  for (std::size_t i = 0; i + 1 < steps.size(); ++i) {
    const auto* norm = std::get_if<NormOp>(&steps[i].op);
    auto* linear = std::get_if<LinearOp>(&steps[i + 1].op);
    if (norm == nullptr || linear == nullptr || linear->in != norm->out || norm->add != no_value || linear->norm) continue;
    if (readers_of(program, norm->out) != 1 || !together(*linear)) continue;
    linear->norm = norm->norm;
    linear->in = norm->in;
    linear->normed = norm->out;
    steps.erase(steps.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

void fuse_moments(Program& program) {
  for (std::size_t i = 1; i < program.steps.size(); ++i) {
    auto* reader = std::get_if<LinearOp>(&program.steps[i].op);
    if (reader == nullptr || !reader->norm || !reader->product->holds_norm() || reader->given_moments) continue;
    for (std::size_t maker = 0; maker < i; ++maker) {
      auto* linear = std::get_if<LinearOp>(&program.steps[maker].op);
      if (linear != nullptr && linear->out == reader->in && linear->moments == no_value)
        linear->moments = reader->normed, reader->given_moments = true;
    }
  }
}

void fuse_linear_attention(Program& program, bool (*together)(const Program&, const LinearOp&, const AttentionOp&)) {
  auto& steps = program.steps;
  for (std::size_t i = 0; i + 1 < steps.size(); ++i) {
    auto* linear = std::get_if<LinearOp>(&steps[i].op);
    const auto* attention = std::get_if<AttentionOp>(&steps[i + 1].op);
    if (linear == nullptr || attention == nullptr || attention->in != linear->out) continue;
    if (readers_of(program, linear->out) != 1 || !together(program, *linear, *attention)) continue;
    linear->attention = *attention;
    steps.erase(steps.begin() + static_cast<std::ptrdiff_t>(i + 1));
  }
}

void drop_select(Program& program) {
  auto& steps = program.steps;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const auto* select = std::get_if<SelectOp>(&steps[i].op);
    if (select == nullptr) continue;
    const Value from = select->in, to = select->out;
    steps.erase(steps.begin() + static_cast<std::ptrdiff_t>(i--));
    replace_reads(program, to, from);
  }
}

}  // namespace eaq

// A classifier reads the first row of each sequence only, a prefill the last. What the last block computes for the other rows is
// thrown away, so the select moves up through row-wise steps until attention, which mixes rows; of attention only the queries
// that are kept are asked. For DistilBERT that spares the last of six blocks everything but its q, k, v products; the answers do
// not change.
#include <algorithm>

#include "eaq/backend/fusions.h"

namespace eaq {
namespace {

std::size_t writer_of(const Program& program, Value value) {
  for (std::size_t i = 0; i < program.steps.size(); ++i) {
    const auto writes = writes_of(program.steps[i].op);
    if (std::find(writes.begin(), writes.end(), value) != writes.end()) return i;
  }
  return program.steps.size();
}

// Values that the last attention before a step needs all rows of: of these there is nothing to spare.
std::vector<bool> needed_whole(const Program& program, std::size_t before) {
  std::vector<bool> needed(program.values.size(), false);
  bool passed_attention = false;
  for (std::size_t i = before; i-- > 0;) {
    const Op& op = program.steps[i].op;
    const auto writes = writes_of(op);
    const bool is_last_attention = !passed_attention && std::holds_alternative<AttentionOp>(op);
    passed_attention = passed_attention || is_last_attention;
    if (!is_last_attention &&
        std::none_of(writes.begin(), writes.end(), [&](Value v) { return needed[static_cast<std::size_t>(v)]; }))
      continue;
    for (const Value v : reads_of(op)) needed[static_cast<std::size_t>(v)] = true;
  }
  return needed;
}

class Mover {
 public:
  Mover(Program& program, std::size_t select, bool last)
      : program_(program), last_(last), whole_(needed_whole(program, select)) {}

  // The value that holds only the kept rows of `value`: its writer is redone on kept rows where that is possible, otherwise the
  // rows are selected.
  Value kept(Value value) {
    for (const auto& [all, few] : done_)
      if (all == value) return few;
    const std::size_t at = writer_of(program_, value);
    const Value few = new_value(value);
    done_.emplace_back(value, few);
    Step step = program_.steps[at];
    if (!whole_[static_cast<std::size_t>(value)] && redo(step, few)) {
      made_.push_back(std::move(step));
    } else {
      made_.push_back({program_.steps[at].site, StepKind::other, program_.steps[at].format, SelectOp{last_, value, few}, {}});
    }
    return few;
  }
  std::vector<Step> take() { return std::move(made_); }

 private:
  Value new_value(Value like) {
    ValueInfo info = program_.values[static_cast<std::size_t>(like)];
    info.rows = RowsPer::sequence;
    program_.values.push_back(info);
    return static_cast<Value>(program_.values.size()) - 1;
  }
  bool redo(Step& step, Value out) {
    if (auto* op = std::get_if<NormOp>(&step.op); op != nullptr && op->add == no_value && op->sum == no_value) {
      op->in = kept(op->in), op->out = out;
    } else if (auto* linear = std::get_if<LinearOp>(&step.op); linear != nullptr && linear->residual == no_value) {
      linear->in = kept(linear->in), linear->out = out;
    } else if (auto* act = std::get_if<ActivationOp>(&step.op)) {
      act->in = kept(act->in), act->out = out;
    } else if (auto* residual = std::get_if<ResidualOp>(&step.op)) {
      residual->a = kept(residual->a), residual->b = kept(residual->b), residual->out = out;
    } else if (auto* attention = std::get_if<AttentionOp>(&step.op); attention != nullptr && !last_ && !attention->causal) {
      attention->first_query_only = true, attention->out = out;
    } else {
      return false;
    }
    return true;
  }

  Program& program_;
  bool last_;
  std::vector<bool> whole_;
  std::vector<std::pair<Value, Value>> done_;
  std::vector<Step> made_;
};

// Steps whose results nobody reads any more.
void remove_dead(Program& program) {
  std::vector<bool> live(program.values.size(), false);
  live[static_cast<std::size_t>(program.output)] = true;
  std::vector<Step> kept;
  for (auto step = program.steps.rbegin(); step != program.steps.rend(); ++step) {
    const auto writes = writes_of(step->op);
    // An attention step with a KV cache has an effect beyond its value: the select never moves past one, see redo().
    if (std::none_of(writes.begin(), writes.end(), [&](Value v) { return live[static_cast<std::size_t>(v)]; })) continue;
    for (const Value v : reads_of(step->op)) live[static_cast<std::size_t>(v)] = true;
    kept.push_back(std::move(*step));
  }
  std::reverse(kept.begin(), kept.end());
  program.steps = std::move(kept);
}

}  // namespace

void select_early(Program& program) {
  const auto select = std::find_if(program.steps.begin(), program.steps.end(),
                                   [](const Step& s) { return std::holds_alternative<SelectOp>(s.op); });
  if (select == program.steps.end()) return;
  const SelectOp op = std::get<SelectOp>(select->op);
  const auto at = static_cast<std::size_t>(select - program.steps.begin());
  Mover mover(program, at, op.last);
  const Value few = mover.kept(op.in);
  std::vector<Step> made = mover.take();
  auto& steps = program.steps;
  steps.erase(steps.begin() + static_cast<std::ptrdiff_t>(at));
  steps.insert(steps.begin() + static_cast<std::ptrdiff_t>(at), std::make_move_iterator(made.begin()),
               std::make_move_iterator(made.end()));
  // Those who read the select's value now read the kept rows; the widths agree.
  program.values[static_cast<std::size_t>(op.out)] = program.values[static_cast<std::size_t>(few)];
  replace_reads(program, op.out, few);
  remove_dead(program);
}

}  // namespace eaq

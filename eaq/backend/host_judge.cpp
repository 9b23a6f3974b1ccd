#include "eaq/backend/host_judge.h"

namespace eaq {
namespace {

const float* row_of(const Matrix& logits, std::int64_t row) { return reinterpret_cast<const float*>(logits.row(row)); }

RowOutcome outcome_of(const RowSummary& summary, float target_logit) {
  RowOutcome outcome;
  outcome.argmax = summary.argmax;
  outcome.non_finite = summary.non_finite;
  outcome.nll = summary.log_sum_exp - target_logit;
  return outcome;
}

}  // namespace

void HostJudge::judge_reference(const Matrix& logits, std::span<const std::int32_t> targets, std::span<RowOutcome> outcomes) {
  reference_ = logits;
  summaries_.resize(targets.size());
  context_.parallel(static_cast<std::int64_t>(targets.size()), [&](std::int64_t row, int) {
    const auto i = static_cast<std::size_t>(row);
    if (targets[i] < 0) return;
    summaries_[i] = summarise_row(row_of(logits, row), logits.cols);
    outcomes[i] = outcome_of(summaries_[i], row_of(logits, row)[targets[i]]);
  });
}

void HostJudge::judge(const Matrix& logits, std::span<const std::int32_t> targets, std::span<RowOutcome> outcomes,
                      bool against_reference) {
  context_.parallel(static_cast<std::int64_t>(targets.size()), [&](std::int64_t row, int) {
    const auto i = static_cast<std::size_t>(row);
    if (targets[i] < 0) return;
    const RowSummary summary = summarise_row(row_of(logits, row), logits.cols);
    outcomes[i] = outcome_of(summary, row_of(logits, row)[targets[i]]);
    if (!against_reference) return;
    outcomes[i].kl =
        kl_divergence(row_of(reference_, row), row_of(logits, row), logits.cols, summaries_[i].log_sum_exp, summary.log_sum_exp);
    outcomes[i].flipped = outcomes[i].argmax != summaries_[i].argmax;
  });
}

}  // namespace eaq

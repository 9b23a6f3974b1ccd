#include "eaq/evaluate/lockstep.h"

#include <algorithm>
#include <cmath>

namespace eaq {
namespace {

// Rows of logits in hand at once: enough that the head's product is efficient, few enough that 50,257 columns stay at 26 MB a
// format.
constexpr std::int64_t chunk_rows = 128;

int threads_of(std::span<const std::shared_ptr<const PackedModel>> models) {
  const auto* cpu = models.empty() ? nullptr : dynamic_cast<const CpuContext*>(models[0]->device().context.get());
  return cpu != nullptr ? cpu->threads() : 1;
}

}  // namespace

Lockstep::Lockstep(std::span<const std::shared_ptr<const PackedModel>> models, bool with_reference)
    : with_reference_(with_reference),
      judges_(threads_of(models)),
      ranges_(models.size()),
      outcomes_(chunk_rows),
      reference_summary_(chunk_rows) {
  for (const auto& model : models) sessions_.emplace_back(model);
}

void Lockstep::record(std::size_t format, const Step& step, const Matrix& value) {
  auto& ranges = ranges_[format];
  auto it = std::find_if(ranges.begin(), ranges.end(), [&](const SiteRange& r) { return r.site == step.site; });
  if (it == ranges.end()) it = ranges.insert(ranges.end(), SiteRange{step.site, 0, 0});
  const RangeSummary range = range_of(judges_, value);
  it->max_abs = std::max(it->max_abs, static_cast<double>(range.max_abs));
  it->non_finite += range.non_finite;
}

RowOutcome Lockstep::judge(std::size_t format, std::int64_t row, const Matrix& logits, std::int32_t target) {
  const auto* values = reinterpret_cast<const float*>(logits.row(row));
  const RowSummary summary = summarise_row(values, logits.cols);
  RowOutcome outcome;
  outcome.argmax = summary.argmax;
  outcome.non_finite = summary.non_finite;
  outcome.nll = summary.log_sum_exp - values[target];
  if (!with_reference_) return outcome;
  RowSummary& reference = reference_summary_[static_cast<std::size_t>(row)];
  if (format == 0) {
    reference = summary;
    return outcome;
  }
  outcome.kl = kl_divergence(reinterpret_cast<const float*>(reference_.row(row)), values, logits.cols, reference.log_sum_exp,
                             summary.log_sum_exp);
  outcome.flipped = outcome.argmax != reference.argmax;
  return outcome;
}

void Lockstep::run(const Batch& batch, std::span<const std::int32_t> targets, bool watch,
                   const std::function<void(std::size_t, std::int64_t, const RowOutcome&)>& sink) {
  std::vector<ValueProbe> probes(sessions_.size());  // head() calls them as well
  for (std::size_t format = 0; format < sessions_.size(); ++format) {
    probes[format] = [&, format](const Step& step, const Matrix& value) { record(format, step, value); };
    sessions_[format].run_body(batch, {.probe = watch ? &probes[format] : nullptr});
  }
  const auto rows = static_cast<std::int64_t>(targets.size());
  for (std::int64_t first = 0; first < rows; first += chunk_rows) {
    const std::int64_t count = std::min(chunk_rows, rows - first);
    if (std::all_of(targets.begin() + first, targets.begin() + first + count, [](std::int32_t t) { return t < 0; })) continue;
    for (std::size_t format = 0; format < sessions_.size(); ++format) {
      const Matrix logits = sessions_[format].head(first, count);
      if (format == 0) reference_ = logits;
      judges_.parallel(count, [&](std::int64_t row, int) {
        const std::int32_t target = targets[static_cast<std::size_t>(first + row)];
        if (target >= 0) outcomes_[static_cast<std::size_t>(row)] = judge(format, row, logits, target);
      });
      for (std::int64_t row = 0; row < count; ++row)
        if (targets[static_cast<std::size_t>(first + row)] >= 0)
          sink(format, first + row, outcomes_[static_cast<std::size_t>(row)]);
    }
  }
}

}  // namespace eaq

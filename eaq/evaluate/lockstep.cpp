#include "eaq/evaluate/lockstep.h"

#include <algorithm>
#include <cmath>

namespace eaq {
namespace {

// Rows of logits in hand at once: enough that the head's product is efficient, few enough that 50,257 columns stay at 26 MB a
// format on a host and at 206 MB on a device of its own.
std::int64_t rows_at_once(const ExecutionContext& context) { return context.is_host() ? 128 : 1024; }

}  // namespace

Lockstep::Lockstep(std::span<const std::shared_ptr<const PackedModel>> models, bool with_reference)
    : with_reference_(with_reference), ranges_(models.size()) {
  for (const auto& model : models) sessions_.emplace_back(model);
  if (models.empty()) return;
  const Device& device = models[0]->device();
  judge_ = device.backend->make_judge(*device.context);
  chunk_rows_ = rows_at_once(*device.context);
  outcomes_.resize(static_cast<std::size_t>(chunk_rows_));
}

void Lockstep::record(std::size_t format, const Step& step, const Matrix& value) {
  auto& ranges = ranges_[format];
  auto it = std::find_if(ranges.begin(), ranges.end(), [&](const SiteRange& r) { return r.site == step.site; });
  if (it == ranges.end()) it = ranges.insert(ranges.end(), SiteRange{step.site, 0, 0});
  const RangeSummary range = judge_->range(value);
  it->max_abs = std::max(it->max_abs, static_cast<double>(range.max_abs));
  it->non_finite += range.non_finite;
}

void Lockstep::run(const Batch& batch, std::span<const std::int32_t> targets, bool watch,
                   const std::function<void(std::size_t, std::int64_t, const RowOutcome&)>& sink) {
  std::vector<ValueProbe> probes(sessions_.size());  // head() calls them as well
  for (std::size_t format = 0; format < sessions_.size(); ++format) {
    probes[format] = [&, format](const Step& step, const Matrix& value) { record(format, step, value); };
    sessions_[format].run_body(batch, {.probe = watch ? &probes[format] : nullptr});
  }
  const auto rows = static_cast<std::int64_t>(targets.size());
  for (std::int64_t first = 0; first < rows; first += chunk_rows_) {
    const std::int64_t count = std::min(chunk_rows_, rows - first);
    if (std::all_of(targets.begin() + first, targets.begin() + first + count, [](std::int32_t t) { return t < 0; })) continue;
    for (std::size_t format = 0; format < sessions_.size(); ++format) {
      const Matrix logits = sessions_[format].head(first, count);
      const auto asked = targets.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
      if (format == 0 && with_reference_)
        judge_->judge_reference(logits, asked, outcomes_);
      else
        judge_->judge(logits, asked, outcomes_, with_reference_);
      for (std::int64_t row = 0; row < count; ++row)
        if (targets[static_cast<std::size_t>(first + row)] >= 0)
          sink(format, first + row, outcomes_[static_cast<std::size_t>(row)]);
    }
  }
}

}  // namespace eaq

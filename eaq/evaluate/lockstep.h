// Several formats run the same batches in lockstep, so that each one's logits are held against the reference's before either is
// thrown away: the logits of a long text never exist at once.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "eaq/evaluate/evaluate.h"

namespace eaq {

class Lockstep {
 public:
  /// The first model is the reference where `with_reference`.
  Lockstep(std::span<const std::shared_ptr<const PackedModel>> models, bool with_reference);

  /// Runs `batch` on every format and calls `sink(format, row, outcome)` for each row whose target is not negative. A row of
  /// logits is a token's or, for a classifier, a sequence's; `targets` has one entry a row. `watch` also records the ranges of
  /// activations.
  void run(const Batch& batch, std::span<const std::int32_t> targets, bool watch,
           const std::function<void(std::size_t format, std::int64_t row, const RowOutcome&)>& sink);

  const std::vector<SiteRange>& ranges(std::size_t format) const { return ranges_[format]; }

 private:
  void record(std::size_t format, const Step& step, const Matrix& value);

  std::vector<Session> sessions_;
  bool with_reference_;
  std::unique_ptr<Judge> judge_;
  std::int64_t chunk_rows_ = 0;
  std::vector<std::vector<SiteRange>> ranges_;
  std::vector<RowOutcome> outcomes_;
};

}  // namespace eaq

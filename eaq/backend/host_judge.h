// Logits in the host's memory, judged by threads of their own.
#pragma once

#include <vector>

#include "eaq/backend/backend.h"

namespace eaq {

class HostJudge final : public Judge {
 public:
  explicit HostJudge(int threads) : context_(threads) {}
  void judge_reference(const Matrix& logits, std::span<const std::int32_t> targets, std::span<RowOutcome> outcomes) override;
  void judge(const Matrix& logits, std::span<const std::int32_t> targets, std::span<RowOutcome> outcomes,
             bool against_reference) override;
  RangeSummary range(const Matrix& x) override { return range_of(context_, x); }

 private:
  CpuContext context_;
  Matrix reference_;
  std::vector<RowSummary> summaries_;  ///< of the reference's rows: needed by every format, computed once
};

}  // namespace eaq

// From what was evaluated and measured to the rows and comparisons of a result.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "eaq/study/job.h"

namespace eaq {

/// What became of one recipe of a job.
struct Row {
  Recipe recipe;
  std::shared_ptr<const PackedModel> packed;
  std::optional<std::int64_t> peak_memory;
  std::string peak_memory_unavailable;
  double seconds_per_row = 0;  ///< of the first run, for the time left
  std::optional<Quality> quality;
  std::string quality_unavailable;
  std::string quality_note;  ///< where it was interrupted
};

/// A measurement of all rows at one shape.
struct TimedRows {
  TimedShape shape;
  std::string unit;
  MeasureResult result;
  std::vector<std::string> notes;          ///< one per row
  std::vector<KernelReport> reports = {};  ///< likewise: what ran at this shape
};

Run make_run(const Job& job, const Row& row, const TimedRows* timed, std::size_t index);
std::vector<Comparison> make_comparisons(const Job& job, const std::vector<Row>& rows, const TimedRows* timed);

/// Without an end on a side there is no interval.
Figure figure(const Interval& interval, std::vector<double> trials = {});

QualityResult quality_result(const Quality& quality);

}  // namespace eaq

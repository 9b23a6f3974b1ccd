// Where values live while a Program runs: one arena, planned once from how long each value is needed, so that a run allocates
// nothing.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "eaq/backend/backend.h"

namespace eaq {

class Workspace {
 public:
  /// Takes the lifetimes of the program's values; to be called once, after fusions.
  void plan(const Program& program);

  /// Makes room for batches of up to this size; allocates only for a larger one than before. Error{unavailable} with the numbers
  /// where this machine has not that much memory.
  void reserve(std::int64_t rows, std::int64_t sequences);
  void reserve_output(std::int64_t rows);

  /// The values of a batch within what was reserved. Valid until the next call. The output's rows are clipped to what was
  /// reserved for it.
  std::span<Matrix> matrices(std::int64_t rows, std::int64_t sequences);

  /// Those of the last call.
  std::span<const Matrix> current() const { return matrices_; }

  std::size_t bytes() const { return arena_.size() + output_memory_.size(); }

 private:
  struct Life {
    std::size_t first = 0, last = 0;  // steps
    bool used = false;
    std::size_t offset = 0;
  };
  std::size_t size_of_value(std::size_t value) const;
  std::size_t place();  // finds offsets for `rows_` and `sequences_`; the arena's size

  std::vector<ValueInfo> values_;
  std::vector<Life> lives_;
  Value output_ = no_value;
  std::int64_t rows_ = 0, sequences_ = 0, output_rows_ = 0;
  Buffer arena_, output_memory_;
  std::vector<Matrix> matrices_;
};

}  // namespace eaq

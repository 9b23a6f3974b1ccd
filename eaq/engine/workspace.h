// Where values live while a Program runs: one arena, planned once from how long each value is needed, so that a run allocates
// nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "eaq/backend/backend.h"

namespace eaq {

class Workspace {
 public:
  /// Takes the lifetimes of the program's values; to be called once, after fusions. Rows begin at multiples of `row_alignment`
  /// elements.
  void plan(const Program& program, std::shared_ptr<ExecutionContext> context, std::int64_t row_alignment);

  /// Makes room for batches of up to this size; allocates only for a larger one than before. Error{unavailable} with the numbers
  /// where this machine has not that much memory; what was reserved before is then gone.
  void reserve(std::int64_t rows, std::int64_t sequences);
  void reserve_output(std::int64_t rows);

  /// The values of a batch within what was reserved. Valid until the next call. The output's rows are clipped to what was
  /// reserved for it.
  std::span<Matrix> matrices(std::int64_t rows, std::int64_t sequences);

  /// Those of the last call.
  std::span<const Matrix> current() const { return matrices_; }

  std::size_t bytes() const { return arena_.size() + output_memory_.size(); }
  /// Counts the times that memory moved: what was recorded with the old addresses must not run again.
  int moves() const { return moves_; }

 private:
  struct Life {
    std::size_t first = 0, last = 0;  // steps
    bool used = false;
    std::size_t offset = 0;
  };
  std::size_t place(std::int64_t all_rows, std::int64_t all_sequences);  // finds offsets; the arena's size
  std::int64_t stride_of(const ValueInfo& info) const;
  DeviceMemory take(std::size_t bytes, const std::string& what);

  std::shared_ptr<ExecutionContext> context_;
  std::int64_t row_alignment_ = 1;
  int moves_ = 0;

  std::vector<ValueInfo> values_;
  std::vector<Life> lives_;
  Value output_ = no_value;
  std::int64_t rows_ = 0, sequences_ = 0, output_rows_ = 0;
  DeviceMemory arena_, output_memory_;
  std::vector<Matrix> matrices_;
};

}  // namespace eaq

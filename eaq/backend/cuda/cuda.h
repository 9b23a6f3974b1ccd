// NVIDIA's cards: each op on the kernels of kernel/cuda and the products that formats bring. Rows run unpadded, one sequence
// after the other. Everything is only submitted; a batch that is run again is recorded as a CUDA graph.
#pragma once

#include <vector>

#include "eaq/backend/backend.h"

namespace eaq::backend_cuda {

const Backend& entry();

/// A batch's numbers in the card's memory, in one piece.
class CudaBatch final : public PlacedBatch {
 public:
  CudaBatch(ExecutionContext& context, const Batch& batch);

  bool feed_back(const Matrix& logits, const Sampling& sampling) override;
  std::vector<std::int32_t> fed_back() override;
  void rewind() override;

  const std::int32_t* ids() const { return at(ids_); }
  const std::int32_t* positions() const { return at(positions_); }
  const std::int32_t* row_begin() const { return at(row_begin_); }
  const std::int32_t* sequence_of() const { return at(sequence_of_); }  ///< [rows]
  const std::int32_t* past() const { return at(past_); }                ///< null: no cache in use
  const std::int32_t* shown() const { return at(shown_); }              ///< [sequences] as AttentionCall has it; null: all rows
  /// Null where all that is hidden lies behind what is shown, as padding does: then nobody need look at each key.
  const std::uint8_t* mask() const { return reinterpret_cast<const std::uint8_t*>(at(mask_)); }
  std::int64_t longest() const { return longest_; }  ///< rows of the longest sequence

 private:
  static constexpr std::size_t absent = static_cast<std::size_t>(-1);
  const std::int32_t* at(std::size_t offset) const {
    return offset == absent ? nullptr : reinterpret_cast<const std::int32_t*>(memory_.data() + offset);
  }

  std::int32_t* to(std::size_t offset) { return reinterpret_cast<std::int32_t*>(memory_.data() + offset); }

  ExecutionContext& context_;
  std::int64_t rows_, sequences_;
  DeviceMemory memory_;
  DeviceMemory at_first_, parts_;  // only of a batch that decodes
  std::size_t bad_ = absent;
  std::size_t ids_ = absent, positions_ = absent, row_begin_ = absent, sequence_of_ = absent, past_ = absent, shown_ = absent,
              mask_ = absent;
  std::int64_t longest_ = 0;
};

std::unique_ptr<Judge> make_judge(ExecutionContext& context);

}  // namespace eaq::backend_cuda

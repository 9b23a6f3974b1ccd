#include <algorithm>
#include <cstring>

#include "eaq/backend/cuda/cuda.h"

namespace eaq::backend_cuda {
namespace {

// Pieces one after the other, each at a multiple of 16 bytes.
class Pieces {
 public:
  template <class T>
  std::size_t add(std::span<const T> values) {
    const std::size_t offset = (bytes_.size() + 15) / 16 * 16;
    bytes_.resize(offset + values.size_bytes());
    if (!values.empty()) std::memcpy(bytes_.data() + offset, values.data(), values.size_bytes());
    return offset;
  }
  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

// Rows of a sequence up to the last that is seen; all of them where none is.
std::int32_t shown_rows(std::span<const std::uint8_t> mask) {
  const auto last = std::find_if(mask.rbegin(), mask.rend(), [](std::uint8_t seen) { return seen != 0; });
  return static_cast<std::int32_t>(last == mask.rend() ? mask.size() : static_cast<std::size_t>(mask.rend() - last));
}

}  // namespace

CudaBatch::CudaBatch(ExecutionContext& context, const Batch& batch) {
  std::vector<std::int32_t> sequence_of, shown;
  for (std::int64_t s = 0; s < batch.sequences(); ++s) {
    const auto i = static_cast<std::size_t>(s);
    const std::int32_t first = batch.row_begin[i], rows = batch.row_begin[i + 1] - first;
    sequence_of.insert(sequence_of.end(), static_cast<std::size_t>(rows), static_cast<std::int32_t>(s));
    longest_ = std::max<std::int64_t>(longest_, rows);
    if (!batch.key_mask.empty())
      shown.push_back(shown_rows(batch.key_mask.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(rows))));
  }
  Pieces pieces;
  ids_ = pieces.add(batch.ids);
  positions_ = pieces.add(batch.positions);
  row_begin_ = pieces.add(batch.row_begin);
  sequence_of_ = pieces.add(std::span<const std::int32_t>(sequence_of));
  if (!batch.past.empty()) past_ = pieces.add(batch.past);
  if (!batch.key_mask.empty()) {
    shown_ = pieces.add(std::span<const std::int32_t>(shown));
    mask_ = pieces.add(batch.key_mask);
  }
  memory_ = context.allocate(pieces.bytes().size(), "a batch");
  context.upload(memory_.data(), pieces.bytes());
}

}  // namespace eaq::backend_cuda

#include <algorithm>
#include <cstring>

#include "eaq/backend/cuda/cuda.h"
#include "eaq/kernel/cuda.h"

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
  std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  std::vector<std::byte> bytes_;
};

// Rows of a sequence up to the last that is seen; all of them where none is.
std::int32_t shown_rows(std::span<const std::uint8_t> mask) {
  const auto last = std::find_if(mask.rbegin(), mask.rend(), [](std::uint8_t seen) { return seen != 0; });
  return static_cast<std::int32_t>(last == mask.rend() ? mask.size() : static_cast<std::size_t>(mask.rend() - last));
}

}  // namespace

CudaBatch::CudaBatch(ExecutionContext& context, const Batch& batch)
    : context_(context), rows_(batch.rows()), sequences_(batch.sequences()) {
  std::vector<std::int32_t> sequence_of, shown;
  bool holes = false;  // a key is hidden that others follow
  for (std::int64_t s = 0; s < batch.sequences(); ++s) {
    const auto i = static_cast<std::size_t>(s);
    const std::int32_t first = batch.row_begin[i], rows = batch.row_begin[i + 1] - first;
    sequence_of.insert(sequence_of.end(), static_cast<std::size_t>(rows), static_cast<std::int32_t>(s));
    longest_ = std::max<std::int64_t>(longest_, rows);
    if (batch.key_mask.empty()) continue;
    const auto mask = batch.key_mask.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(rows));
    shown.push_back(shown_rows(mask));
    const auto to_last = mask.first(static_cast<std::size_t>(shown.back()));
    holes = holes || std::find(to_last.begin(), to_last.end(), 0) != to_last.end();
  }
  Pieces pieces;
  ids_ = pieces.add(batch.ids);
  positions_ = pieces.add(batch.positions);
  row_begin_ = pieces.add(batch.row_begin);
  sequence_of_ = pieces.add(std::span<const std::int32_t>(sequence_of));
  if (!batch.past.empty()) past_ = pieces.add(batch.past);
  if (!batch.key_mask.empty()) {
    shown_ = pieces.add(std::span<const std::int32_t>(shown));
    if (holes) mask_ = pieces.add(batch.key_mask);
  }
  const std::vector<std::int32_t> none(static_cast<std::size_t>(sequences_));
  bad_ = pieces.add(std::span<const std::int32_t>(none));
  const std::vector<std::byte> bytes = pieces.take();
  memory_ = context.allocate(bytes.size(), "a batch");
  context.upload(memory_.data(), bytes);
  if (past_ == absent || rows_ != sequences_) return;
  at_first_ = context.allocate(bytes.size(), "a batch");
  context.upload(at_first_.data(), bytes);
  parts_ = context.allocate(kernel_cuda::feed_back_bytes(sequences_), "what blocks found");
  context.clear(parts_.data(), parts_.size());
}

void CudaBatch::rewind() { context_.copy(memory_.data(), at_first_.data(), at_first_.size()); }

bool CudaBatch::feed_back(const Matrix& logits, const Sampling& sampling) {
  if (parts_.size() == 0) throw Error(ErrorKind::bug, "feed_back() of a batch that does not decode");
  kernel_cuda::feed_back(kernel_cuda::cuda_context(context_), logits, sampling, to(ids_), to(positions_), to(past_), to(bad_),
                         parts_.data());
  return true;
}

std::vector<std::int32_t> CudaBatch::fed_back() {
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(sequences_)), bad(tokens.size());
  context_.download(std::as_writable_bytes(std::span(tokens)), memory_.data() + ids_);
  context_.download(std::as_writable_bytes(std::span(bad)), memory_.data() + bad_);
  for (const std::int32_t count : bad)
    if (count > 0) throw Error(ErrorKind::input, std::to_string(count) + " logits are not finite");
  return tokens;
}

}  // namespace eaq::backend_cuda

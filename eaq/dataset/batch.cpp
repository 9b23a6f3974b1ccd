// Windows over a text, and batches.
#include <algorithm>
#include <functional>
#include <numeric>

#include "eaq/dataset/dataset.h"

namespace eaq {
namespace {

using Row = std::span<const std::int32_t>;

void append_padding(TokenBatch& batch, std::size_t real, std::size_t width, std::int32_t pad_id) {
  batch.key_mask.insert(batch.key_mask.end(), real, 1);
  batch.key_mask.insert(batch.key_mask.end(), width - real, 0);
  batch.ids.insert(batch.ids.end(), width - real, pad_id);
}

/// Sequences [first, last) of the data; `row(i)` gives the tokens of the i-th.
TokenBatch pack(std::size_t first, std::size_t last, const std::function<Row(std::size_t)>& row, const BatchOptions& options) {
  TokenBatch batch;
  batch.first = static_cast<std::int64_t>(first);
  batch.row_begin.push_back(0);
  std::size_t longest = 0;
  for (std::size_t i = first; i < last; ++i) longest = std::max(longest, row(i).size());
  const std::size_t width = options.fill == Fill::fixed ? static_cast<std::size_t>(options.length) : longest;
  for (std::size_t i = first; i < last; ++i) {
    const Row tokens = row(i);
    if (options.fill != Fill::none && tokens.size() > width)
      throw Error(ErrorKind::input, "sequence " + std::to_string(i) + " has " + std::to_string(tokens.size()) +
                                        " tokens, more than the length of " + std::to_string(width) + " that is asked for");
    batch.ids.insert(batch.ids.end(), tokens.begin(), tokens.end());
    batch.lengths.push_back(static_cast<std::int32_t>(tokens.size()));
    const std::size_t here = options.fill == Fill::none ? tokens.size() : width;
    if (options.fill != Fill::none) append_padding(batch, tokens.size(), width, options.pad_id);
    batch.positions.resize(batch.ids.size());
    std::iota(batch.positions.end() - static_cast<std::ptrdiff_t>(here), batch.positions.end(), 0);
    batch.row_begin.push_back(static_cast<std::int32_t>(batch.ids.size()));
  }
  if (std::find(batch.key_mask.begin(), batch.key_mask.end(), 0) == batch.key_mask.end()) batch.key_mask.clear();
  return batch;
}

std::vector<TokenBatch> pack_all(std::size_t count, const std::function<Row(std::size_t)>& row, const BatchOptions& options) {
  if (options.sequences < 1)
    throw Error(ErrorKind::usage, "a batch has at least one sequence, not " + std::to_string(options.sequences));
  if (options.fill == Fill::fixed && options.length < 1)
    throw Error(ErrorKind::usage, "a length of " + std::to_string(options.length) + " holds no token");
  const auto step = static_cast<std::size_t>(options.sequences);
  std::vector<TokenBatch> batches;
  for (std::size_t first = 0; first < count; first += step)
    batches.push_back(pack(first, std::min(count, first + step), row, options));
  return batches;
}

}  // namespace

std::vector<Window> windows(std::int64_t tokens, const WindowOptions& options) {
  if (options.window < 2)
    throw Error(ErrorKind::usage, "a window of " + std::to_string(options.window) + " predicts nothing, it needs 2 tokens");
  if (options.stride < 1 || options.stride > options.window)
    throw Error(ErrorKind::usage, "a stride of " + std::to_string(options.stride) + " is not between 1 and the window of " +
                                      std::to_string(options.window));
  std::vector<Window> out;
  std::int64_t judged = 0;  // tokens before this one have had their turn
  for (std::int64_t begin = 0; begin < tokens && judged < tokens; begin += options.stride) {
    if (options.limit > 0 && static_cast<std::int64_t>(out.size()) == options.limit) break;
    const std::int64_t end = std::min(begin + options.window, tokens);
    const std::int64_t targets = std::min(end - judged, end - begin - 1);
    judged = end;
    if (targets > 0) out.push_back({begin, end, targets});
  }
  return out;
}

std::vector<TokenBatch> make_batches(const Sentences& sentences, const BatchOptions& options) {
  auto batches = pack_all(
      sentences.size(), [&](std::size_t i) { return sentences.sentence(i); }, options);
  for (TokenBatch& batch : batches) {
    const auto first = sentences.labels.begin() + static_cast<std::ptrdiff_t>(batch.first);
    batch.labels.assign(first, first + static_cast<std::ptrdiff_t>(batch.sequences()));
  }
  return batches;
}

std::vector<TokenBatch> make_batches(const TokenStream& stream, std::span<const Window> all, const BatchOptions& options) {
  const auto row = [&](std::size_t i) {
    return Row(stream.ids).subspan(static_cast<std::size_t>(all[i].begin), static_cast<std::size_t>(all[i].end - all[i].begin));
  };
  auto batches = pack_all(all.size(), row, options);
  for (TokenBatch& batch : batches)
    for (const Window& w : all.subspan(static_cast<std::size_t>(batch.first), batch.sequences()))
      batch.targets.push_back(static_cast<std::int32_t>(w.targets));
  return batches;
}

}  // namespace eaq

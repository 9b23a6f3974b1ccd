#include <algorithm>
#include <bit>
#include <functional>

#include "eaq/text/bpe/bpe.h"

namespace eaq::text_bpe {
namespace {

// A scan for the least rank beats a heap while the ranks fit a few cache lines.
constexpr std::size_t scan_up_to = 64;

void merge_by_scan(const MergeTable& merges, std::vector<std::int32_t>& symbols, std::vector<std::uint32_t>& ranks) {
  std::size_t n = symbols.size();
  const auto rank_at = [&](std::size_t i) { return merges.find(symbols[i], symbols[i + 1]).rank; };
  ranks.resize(n);
  for (std::size_t i = 0; i + 1 < n; ++i) ranks[i] = rank_at(i);
  while (n > 1) {
    const auto least = std::min_element(ranks.begin(), ranks.begin() + static_cast<std::ptrdiff_t>(n - 1));
    if (*least == MergeTable::none) break;
    const auto at = static_cast<std::size_t>(least - ranks.begin());
    symbols[at] = merges.find(symbols[at], symbols[at + 1]).id;
    std::copy(symbols.begin() + static_cast<std::ptrdiff_t>(at + 2), symbols.begin() + static_cast<std::ptrdiff_t>(n),
              symbols.begin() + static_cast<std::ptrdiff_t>(at + 1));
    std::copy(ranks.begin() + static_cast<std::ptrdiff_t>(at + 2), ranks.begin() + static_cast<std::ptrdiff_t>(n),
              ranks.begin() + static_cast<std::ptrdiff_t>(at + 1));
    --n;
    if (at > 0) ranks[at - 1] = rank_at(at - 1);
    if (at + 1 < n) ranks[at] = rank_at(at);
  }
  symbols.resize(n);
}

// The queue holds (rank, position); the symbols are a linked list. An entry whose pair has been merged away no longer has the
// rank of its position's pair, and is passed over.
class HeapMerge {
 public:
  HeapMerge(const MergeTable& merges, text::Scratch& scratch)
      : merges_(merges), symbols_(scratch.symbols), next_(scratch.next), previous_(scratch.previous), queue_(scratch.queue) {}

  void run() {
    const auto n = static_cast<std::int32_t>(symbols_.size());
    next_.resize(symbols_.size());
    previous_.resize(symbols_.size());
    queue_.clear();
    for (std::int32_t i = 0; i < n; ++i) {
      next_[at(i)] = i + 1 < n ? i + 1 : -1;
      previous_[at(i)] = i - 1;
      push(i);
    }
    while (!queue_.empty()) {
      std::pop_heap(queue_.begin(), queue_.end(), std::greater<>());
      const std::uint64_t top = queue_.back();
      queue_.pop_back();
      merge(static_cast<std::int32_t>(top & 0xffffffffu), static_cast<std::uint32_t>(top >> 32));
    }
    symbols_.erase(std::remove(symbols_.begin(), symbols_.end(), gone), symbols_.end());
  }

 private:
  static constexpr std::int32_t gone = -1;
  static std::size_t at(std::int32_t i) { return static_cast<std::size_t>(i); }

  MergeTable::Merge pair_at(std::int32_t i) const {
    const std::int32_t right = next_[at(i)];
    if (symbols_[at(i)] == gone || right < 0) return {MergeTable::none, -1};
    return merges_.find(symbols_[at(i)], symbols_[at(right)]);
  }
  void push(std::int32_t i) {
    const std::int32_t right = next_[at(i)];
    if (right < 0) return;
    const std::uint32_t rank = merges_.find(symbols_[at(i)], symbols_[at(right)]).rank;
    if (rank == MergeTable::none) return;
    queue_.push_back(std::uint64_t{rank} << 32 | static_cast<std::uint32_t>(i));
    std::push_heap(queue_.begin(), queue_.end(), std::greater<>());
  }
  void merge(std::int32_t i, std::uint32_t rank) {
    const auto found = pair_at(i);
    if (found.rank != rank || rank == MergeTable::none) return;
    const std::int32_t right = next_[at(i)], after = next_[at(right)];
    symbols_[at(i)] = found.id;
    symbols_[at(right)] = gone;
    next_[at(i)] = after;
    if (after >= 0) previous_[at(after)] = i;
    if (previous_[at(i)] >= 0) push(previous_[at(i)]);
    push(i);
  }

  const MergeTable& merges_;
  std::vector<std::int32_t>&symbols_, &next_, &previous_;
  std::vector<std::uint64_t>& queue_;
};

}  // namespace

MergeTable::MergeTable(std::size_t expected) {
  slots_.resize(std::bit_ceil(std::max<std::size_t>(16, expected * 2)));
  mask_ = slots_.size() - 1;
}

void MergeTable::add(std::int32_t left, std::int32_t right, Merge merge) {
  const std::uint64_t key = key_of(left, right);
  std::size_t slot = slot_of(key);
  while (slots_[slot].key != key && slots_[slot].key != empty) slot = (slot + 1) & mask_;
  slots_[slot] = {key, merge};
}

void merge_all(const MergeTable& merges, text::Scratch& scratch) {
  if (scratch.symbols.size() <= scan_up_to) return merge_by_scan(merges, scratch.symbols, scratch.ranks);
  HeapMerge(merges, scratch).run();
}

}  // namespace eaq::text_bpe

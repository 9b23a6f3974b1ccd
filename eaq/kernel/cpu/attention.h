// Private to kernel: one task of an attention, between the driver that cuts it out (attention.cpp) and the code that runs it for
// each instruction set (attention-inl.h).
#pragma once

#include <algorithm>

#include "eaq/kernel/kernel.h"

namespace eaq::simd {

/// Heads [head, head + heads) of queries [first, first + rows) of one sequence. Blocks of queries take one head, single queries
/// several.
struct AttentionTask {
  const AttentionShape* shape = nullptr;
  const AttentionSequence* sequence = nullptr;
  int head = 0, heads = 1;
  std::int64_t first = 0, rows = 1;

  /// Last key that causality lets the task's row `r` see.
  std::int64_t last_key(std::int64_t r) const {
    return shape->causal ? sequence->keys - sequence->queries + first + r : sequence->keys - 1;
  }
  bool visible(std::int64_t key) const { return sequence->mask == nullptr || sequence->mask[key] != 0; }
};

/// Hands out parts of a piece of scratch, each on a cache line of its own. Counts alone where there is no memory yet.
class Carver {
 public:
  explicit Carver(std::byte* memory) : memory_(memory) {}
  template <class T>
  T* take(std::int64_t count) {
    T* part = memory_ == nullptr ? nullptr : reinterpret_cast<T*>(memory_ + used_);
    used_ += (static_cast<std::size_t>(count) * sizeof(T) + 63) / 64 * 64;
    return part;
  }
  std::size_t used() const { return used_; }

 private:
  std::byte* memory_;
  std::size_t used_ = 0;
};

constexpr std::int64_t padded(std::int64_t n) { return (n + 15) / 16 * 16; }  // whole vectors at every level

/// Keys that a block of queries takes at a time: they, their values and the scores stay in L1 and L2.
constexpr std::int64_t keys_per_block = 64;

/// Scratch of a block of queries. Scores lie transposed, [keys][queries]: queries fill the vectors, so softmax needs no sums or
/// maxima across lanes.
struct BlockScratch {
  float* queries;          ///< [head_dim][rows], times the scale
  float* keys;             ///< [keys_per_block][head_dim], f32, hidden keys left out
  float* values;           ///< the same
  float* scores;           ///< [keys_per_block][rows]
  float* sums;             ///< [rows][head_dim]: probabilities times values so far
  float* top;              ///< [rows]: largest score so far
  float* total;            ///< [rows]: sum of exponentials so far, relative to it
  float* correction;       ///< [rows]: what older sums count under a new maximum
  std::int32_t* position;  ///< [keys_per_block]: keys of the block
  std::size_t bytes;

  BlockScratch(std::byte* memory, std::int64_t rows, std::int64_t head_dim) {
    Carver carve(memory);
    const std::int64_t r = padded(rows), h = padded(head_dim);
    queries = carve.take<float>(r * h);
    keys = carve.take<float>(keys_per_block * h);
    values = carve.take<float>(keys_per_block * h);
    scores = carve.take<float>(keys_per_block * r);
    sums = carve.take<float>(r * h);
    top = carve.take<float>(r);
    total = carve.take<float>(r);
    correction = carve.take<float>(r);
    position = carve.take<std::int32_t>(keys_per_block);
    bytes = carve.used();
  }
};

/// Scratch of a single query.
struct SingleScratch {
  float* query;            ///< [heads][head_dim], times the scale
  float* scores;           ///< [heads][keys]
  float* sums;             ///< [heads][head_dim]
  std::int32_t* position;  ///< [keys]: the visible ones
  std::size_t bytes;

  SingleScratch(std::byte* memory, std::int64_t heads, std::int64_t head_dim, std::int64_t keys) {
    Carver carve(memory);
    query = carve.take<float>(heads * padded(head_dim));
    scores = carve.take<float>(heads * padded(keys));
    sums = carve.take<float>(heads * padded(head_dim));
    position = carve.take<std::int32_t>(keys);
    bytes = carve.used();
  }
};

}  // namespace eaq::simd

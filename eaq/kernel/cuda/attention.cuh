// What the attention kernels share: where rows of queries, keys and values lie.
#pragma once

#include "eaq/kernel/cuda.h"
#include "eaq/kernel/cuda/elements.cuh"

namespace eaq::kernel_cuda {

/// Scores of keys that the mask hides. Far below any score, but finite: a query that sees none weighs all alike. A power of two,
/// so that it can be scaled without rounding.
constexpr float hidden_score = -0x1p100f;

/// An AttentionCall as kernels take it.
struct AttentionView {
  int heads, head_dim;
  bool causal, first_query_only, cached;
  bool appends = false;  ///< the kernel puts new keys and values into the cache itself
  float scale;
  Rows qkv, out, keys, values;  ///< keys and values: of sequence 0, position 0, head 0
  std::int64_t capacity;
  const std::int32_t *row_begin, *past, *shown;
  const std::uint8_t* mask;

  __host__ __device__ int width() const { return heads * head_dim; }
};

/// One sequence of it.
struct SequenceView {
  int first_row, queries, keys, past;  ///< `queries`: rows that ask
  std::int64_t first_key;              ///< row of its first key in `keys` and `values`
  std::int64_t first_out;              ///< row of its first query's result

  __device__ SequenceView(const AttentionView& a, int sequence) {
    first_row = a.row_begin[sequence];
    const int rows = a.row_begin[sequence + 1] - first_row;
    past = a.past != nullptr ? a.past[sequence] : 0;
    queries = a.first_query_only ? (rows < 1 ? rows : 1) : rows;
    // Hidden keys at a sequence's end (padding) weigh nothing beside one that is seen: they are never read.
    keys = past + (a.shown != nullptr ? a.shown[sequence] : rows);
    first_key = a.cached ? sequence * a.capacity : first_row;
    first_out = a.first_query_only ? sequence : first_row;
  }
  /// Keys that query i may see.
  __device__ int limit(const AttentionView& a, int query) const { return a.causal ? min(past + query + 1, keys) : keys; }
  /// Whether the mask shows a key. Only rows of this run are masked; those in the cache are seen.
  __device__ bool shown(const AttentionView& a, int key) const {
    return a.mask == nullptr || key < past || a.mask[first_row + key - past] != 0;
  }
};

AttentionView view_of(const AttentionCall& call);

/// Whether rows of a head can be read eight elements at once.
bool moves_eight(const AttentionCall& call);

/// Each runs what the others cannot; `tensor_cores` says whether it can.
bool fits_tensor_cores(const CudaContext& context, const AttentionCall& call);
void attention_of_f16(CudaContext& context, const AttentionCall& call);
void attention_of_bf16(CudaContext& context, const AttentionCall& call);
void attention_of_single_queries(CudaContext& context, const AttentionCall& call);
void attention_plain(CudaContext& context, const AttentionCall& call);

}  // namespace eaq::kernel_cuda

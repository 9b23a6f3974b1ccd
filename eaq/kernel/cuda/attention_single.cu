// A single query a sequence: decode, and a classifier's last block. One block for each sequence and head; every warp takes keys
// in turn, four at once (eight lanes share a key's elements), and keeps a softmax of its own, which are joined at the end (as
// FlashDecoding does: Dao et al., 2023). The time is that of reading keys and values once.
#include <cuda_runtime.h>

#include "eaq/kernel/cuda/attention.cuh"
#include "eaq/kernel/cuda/launch.cuh"
#include "eaq/kernel/cuda/ptx.cuh"

namespace eaq::kernel_cuda {
namespace {

constexpr int threads = 256, warps = threads / 32, lanes_a_key = 8, keys_at_once = 4;
constexpr int most_elements = 128, own = most_elements / lanes_a_key;  // elements of a head that one lane holds

// Elements lane, lane + 8, ... in groups of eight where those can be read at once (V = 8), of one otherwise.
template <int V>
__device__ void load_own(float (&out)[own], const Rows& m, std::int64_t row, int first_col, int head_dim, int lane) {
#pragma unroll
  for (int group = 0; group < own / V; ++group) {
    const int col = (group * lanes_a_key + lane) * V;
    float values[V] = {};
    if (col < head_dim) load<V>(values, m, row, first_col + col);
#pragma unroll
    for (int i = 0; i < V; ++i) out[group * V + i] = values[i];
  }
}

template <int V>
__device__ void store_own(const Rows& m, std::int64_t row, int first_col, int head_dim, int lane, const float (&in)[own]) {
#pragma unroll
  for (int group = 0; group < own / V; ++group) {
    const int col = (group * lanes_a_key + lane) * V;
    float values[V];
#pragma unroll
    for (int i = 0; i < V; ++i) values[i] = in[group * V + i];
    if (col < head_dim) store<V>(m, row, first_col + col, values);
  }
}

struct Partial {  // a softmax over some of the keys
  float largest = -INFINITY, sum = 0;
  float weighted[own] = {};  // of v, this lane's elements

  __device__ void rescale_to(float new_largest) {
    if (new_largest == largest) return;
    const float factor = largest == -INFINITY ? 0.0f : __expf(largest - new_largest);
    sum *= factor;
#pragma unroll
    for (float& w : weighted) w *= factor;
    largest = new_largest;
  }
  __device__ void take(float score, const float (&v)[own]) {
    rescale_to(fmaxf(largest, score));
    const float weight = __expf(score - largest);
    sum += weight;
#pragma unroll
    for (int i = 0; i < own; ++i) weighted[i] += weight * v[i];
  }
};

template <int V>
__global__ void __launch_bounds__(threads) single_query_kernel(AttentionView a) {
  const int head = static_cast<int>(blockIdx.x), sequence = static_cast<int>(blockIdx.y);
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32, part = lane % lanes_a_key;
  wait_for_earlier_kernel();
  let_next_kernel_start();
  const SequenceView s(a, sequence);
  const int first_col = head * a.head_dim, limit = s.limit(a, 0);
  float q[own];
  load_own<V>(q, a.qkv, s.first_row, first_col, a.head_dim, part);

  Partial mine;
  const int step = warps * keys_at_once;
  // All lanes of a warp make the same number of turns: they exchange values within.
  for (int base = warp * keys_at_once; base < limit; base += step) {
    const int key = base + lane / lanes_a_key;
    const bool is_key = key < limit;
    float k[own], v[own];
    if (is_key && a.appends && key >= s.past) {  // the new one is not in the cache yet
      load_own<V>(k, a.qkv, s.first_row, a.width() + first_col, a.head_dim, part);
      load_own<V>(v, a.qkv, s.first_row, 2 * a.width() + first_col, a.head_dim, part);
      store_own<V>(a.keys, s.first_key + key, first_col, a.head_dim, part, k);
      store_own<V>(a.values, s.first_key + key, first_col, a.head_dim, part, v);
    } else if (is_key) {
      load_own<V>(k, a.keys, s.first_key + key, first_col, a.head_dim, part);
      load_own<V>(v, a.values, s.first_key + key, first_col, a.head_dim, part);
    }
    float score = 0;
#pragma unroll
    for (int i = 0; i < own; ++i) score += is_key ? q[i] * k[i] : 0.0f;
#pragma unroll
    for (int offset = lanes_a_key / 2; offset > 0; offset /= 2) score += __shfl_xor_sync(0xffffffffu, score, offset);
    if (is_key) mine.take(s.shown(a, key) ? score * a.scale : hidden_score, v);
  }

  // Joined within a warp (the four keys' lanes), then between warps.
#pragma unroll
  for (int offset = lanes_a_key; offset < 32; offset *= 2) {
    const float other_largest = __shfl_xor_sync(0xffffffffu, mine.largest, offset);
    const float largest = fmaxf(mine.largest, other_largest);
    if (largest != -INFINITY) mine.rescale_to(largest);
    mine.sum += __shfl_xor_sync(0xffffffffu, mine.sum, offset);
#pragma unroll
    for (float& w : mine.weighted) w += __shfl_xor_sync(0xffffffffu, w, offset);
  }
  __shared__ float largest_of[warps], sum_of[warps], weighted_of[warps][most_elements];
  if (lane < lanes_a_key) {
    if (lane == 0) largest_of[warp] = mine.largest, sum_of[warp] = mine.sum;
#pragma unroll
    for (int i = 0; i < own; ++i) weighted_of[warp][(i / V * lanes_a_key + part) * V + i % V] = mine.weighted[i];
  }
  __syncthreads();
  const int col = static_cast<int>(threadIdx.x);
  if (col >= a.head_dim) return;
  float largest = -INFINITY, sum = 0, weighted = 0;
  for (const float one : largest_of) largest = fmaxf(largest, one);
  for (int w = 0; w < warps; ++w) {
    const float factor = largest_of[w] == -INFINITY ? 0.0f : __expf(largest_of[w] - largest);
    sum += factor * sum_of[w];
    weighted += factor * weighted_of[w][col];
  }
  const float out[1] = {weighted / sum};
  store<1>(a.out, s.first_out, first_col + col, out);
}

}  // namespace

void attention_of_single_queries(CudaContext& context, const AttentionCall& call) {
  AttentionView a = view_of(call);
  a.appends = a.cached && call.longest == 1;
  const bool eight = moves_eight(call);
  launch(context, "attention of single queries",
         {dim3(static_cast<unsigned>(call.heads), static_cast<unsigned>(call.sequences)), dim3(threads), 0},
         eight ? single_query_kernel<8> : single_query_kernel<1>, a);
}

}  // namespace eaq::kernel_cuda

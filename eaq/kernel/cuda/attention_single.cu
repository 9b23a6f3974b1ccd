// A single query a sequence: decode, and a classifier's last block. One block for each sequence and head; every warp takes keys
// in turn, four at once (eight lanes share a key's elements), and keeps a softmax of its own, which are joined at the end (as
// FlashDecoding does: Dao et al., 2023). The time is that of reading keys and values once.
#include <cuda_runtime.h>

#include "eaq/kernel/cuda/attention.cuh"
#include "eaq/kernel/cuda/launch.cuh"
#include "eaq/kernel/cuda/ptx.cuh"

namespace eaq::kernel_cuda {
namespace {

constexpr int lanes_a_key = 8, keys_at_once = 32 / lanes_a_key;
constexpr int turns = 2;  // whose keys are read together

// Own: elements of a head that one lane holds: lane, lane + 8, ... in groups of eight where those can be read at once (V = 8),
// of one otherwise.
template <int V, int Own>
__device__ void load_own(float (&out)[Own], const Rows& m, std::int64_t row, int first_col, int head_dim, int lane) {
#pragma unroll
  for (int group = 0; group < Own / V; ++group) {
    const int col = (group * lanes_a_key + lane) * V;
    float values[V] = {};
    if (col < head_dim) load<V>(values, m, row, first_col + col);
#pragma unroll
    for (int i = 0; i < V; ++i) out[group * V + i] = values[i];
  }
}

template <int V, int Own>
__device__ void store_own(const Rows& m, std::int64_t row, int first_col, int head_dim, int lane, const float (&in)[Own]) {
#pragma unroll
  for (int group = 0; group < Own / V; ++group) {
    const int col = (group * lanes_a_key + lane) * V;
    float values[V];
#pragma unroll
    for (int i = 0; i < V; ++i) values[i] = in[group * V + i];
    if (col < head_dim) store<V>(m, row, first_col + col, values);
  }
}

// Member by member: chosen whole, both would be put into memory first.
__device__ Rows either(bool first, const Rows& one, const Rows& other) {
  return {first ? one.data : other.data, first ? one.stride : other.stride, first ? one.dtype : other.dtype};
}

template <int Own>
struct Partial {  // a softmax over some of the keys
  float largest = -INFINITY, sum = 0;
  float weighted[Own] = {};  // of v, this lane's elements

  __device__ void rescale_to(float new_largest) {
    if (new_largest == largest) return;
    const float factor = largest == -INFINITY ? 0.0f : __expf(largest - new_largest);
    sum *= factor;
#pragma unroll
    for (float& w : weighted) w *= factor;
    largest = new_largest;
  }
  __device__ void take(float score, const float (&v)[Own]) {
    rescale_to(fmaxf(largest, score));
    const float weight = __expf(score - largest);
    sum += weight;
#pragma unroll
    for (int i = 0; i < Own; ++i) weighted[i] += weight * v[i];
  }
};

// Keys and values in a cache are on their way into the L2 before the kernel ahead has ended. What it may still write is not held
// in registers or the L1 by that.
__device__ void prefetch_cache(const AttentionView& a, int sequence, int first_col) {
  const std::int64_t rows = min(static_cast<std::int64_t>(__ldcg(a.past + sequence)), a.capacity);
  const std::int64_t element = a.keys.dtype == DType::f32 ? 4 : 2, bytes = a.head_dim * element;
  for (std::int64_t row = threadIdx.x; row < rows; row += blockDim.x) {
    const std::int64_t at = ((sequence * a.capacity + row) * a.keys.stride + first_col) * element;
    for (std::int64_t line = 0; line < bytes; line += 128)
      prefetch_l2(a.keys.data + at + line), prefetch_l2(a.values.data + at + line);
  }
}

template <int V, int Own, int Warps, Storage S>
__global__ void __launch_bounds__(32 * Warps) single_query_kernel(AttentionView a) {
  constexpr int warps = Warps;
  assume<S>(a.qkv, a.keys, a.values, a.out);
  const int head = static_cast<int>(blockIdx.x), sequence = static_cast<int>(blockIdx.y);
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32, part = lane % lanes_a_key;
  const int first_col = head * a.head_dim;
  if (a.appends) prefetch_cache(a, sequence, first_col);
  wait_for_earlier_kernel();
  let_next_kernel_start();
  const SequenceView s(a, sequence);
  const int limit = s.limit(a, 0);
  float q[Own];
  load_own<V>(q, a.qkv, s.first_row, first_col, a.head_dim, part);

  Partial<Own> mine;
  const int step = warps * keys_at_once * turns;
  // All lanes of a warp make the same number of turns: they exchange values within.
  for (int base = warp * keys_at_once; base < limit; base += step) {
    float k[turns][Own], v[turns][Own];
#pragma unroll
    for (int turn = 0; turn < turns; ++turn) {
      // Beyond the last key the last is read again, and does not count.
      const int key = min(base + turn * warps * keys_at_once + lane / lanes_a_key, limit - 1);
      const bool is_new = a.appends && key >= s.past;  // and not in the cache yet
      const std::int64_t row = is_new ? s.first_row : s.first_key + key;
      load_own<V>(k[turn], either(is_new, a.qkv, a.keys), row, first_col + (is_new ? a.width() : 0), a.head_dim, part);
      load_own<V>(v[turn], either(is_new, a.qkv, a.values), row, first_col + (is_new ? 2 * a.width() : 0), a.head_dim, part);
    }
#pragma unroll
    for (int turn = 0; turn < turns; ++turn) {
      const int key = base + turn * warps * keys_at_once + lane / lanes_a_key;
      float score = 0;
#pragma unroll
      for (int i = 0; i < Own; ++i) score += q[i] * k[turn][i];
#pragma unroll
      for (int offset = lanes_a_key / 2; offset > 0; offset /= 2) score += __shfl_xor_sync(0xffffffffu, score, offset);
      if (key >= limit) continue;
      mine.take(s.shown(a, key) ? score * a.scale : hidden_score, v[turn]);
      if (!a.appends || key < s.past) continue;
      store_own<V>(a.keys, s.first_key + key, first_col, a.head_dim, part, k[turn]);
      store_own<V>(a.values, s.first_key + key, first_col, a.head_dim, part, v[turn]);
    }
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
  __shared__ float largest_of[warps], sum_of[warps], weighted_of[warps][Own * lanes_a_key];
  if (lane < lanes_a_key) {
    if (lane == 0) largest_of[warp] = mine.largest, sum_of[warp] = mine.sum;
#pragma unroll
    for (int i = 0; i < Own; ++i) weighted_of[warp][(i / V * lanes_a_key + part) * V + i % V] = mine.weighted[i];
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
  // Many keys at once where multiprocessors have nothing else to do.
  const bool few = call.heads * call.sequences <= context.multiprocessors();
  const auto submit = [&]<int V, int Own, Storage S>() {
    const dim3 grid(static_cast<unsigned>(call.heads), static_cast<unsigned>(call.sequences));
    constexpr const char* what = "attention of single queries";
    if (few)
      launch(context, what, {grid, dim3(512), 0}, single_query_kernel<V, Own, 16, S>, a);
    else
      launch(context, what, {grid, dim3(128), 0}, single_query_kernel<V, Own, 4, S>, a);
  };
  if (!moves_eight(call)) return submit.template operator()<1, 16, Storage::mixed>();
  with_storage({call.qkv.dtype, call.out.dtype, a.keys.dtype}, [&]<Storage S>() {
    if (call.head_dim <= 64)
      submit.template operator()<8, 8, S>();
    else
      submit.template operator()<8, 16, S>();
  });
}

}  // namespace eaq::kernel_cuda

// A single query a sequence: decode, and a classifier's last block. One block for each sequence and head; every warp takes keys
// in turn, four at once (eight lanes share a key's elements), and keeps a softmax of its own, which are joined at the end (as
// FlashDecoding does: Dao et al., 2023). The time is that of reading keys and values once.
#include <cuda_runtime.h>

#include "eaq/kernel/cuda/attention.cuh"
#include "eaq/kernel/cuda/attention_single.cuh"
#include "eaq/kernel/cuda/launch.cuh"
#include "eaq/kernel/cuda/ptx.cuh"

namespace eaq::kernel_cuda {
namespace {

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
      const float score = score_of(q, k[turn]);
      if (key >= limit) continue;
      mine.take(s.shown(a, key) ? score * a.scale : hidden_score, v[turn]);
      if (!a.appends || key < s.past) continue;
      store_own<V>(a.keys, s.first_key + key, first_col, a.head_dim, part, k[turn]);
      store_own<V>(a.values, s.first_key + key, first_col, a.head_dim, part, v[turn]);
    }
  }

  mine.join_lanes();
  __shared__ Partials<V, Own, Warps> partials;
  partials.put(warp, lane, mine);
  __syncthreads();
  const int col = static_cast<int>(threadIdx.x);
  if (col >= a.head_dim) return;
  const auto all = partials.joined(col);
  const float out[1] = {all.weighted / all.sum};
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

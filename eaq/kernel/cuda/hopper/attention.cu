// Attention with heads of 64 on Hopper's tensor cores, in the manner of FlashAttention (Dao, 2023; Shah et al., 2024): four warps
// have 64 queries of one head; tiles of 64 keys and values pass by, the next one on its way; scores and weights never leave
// registers. Two such groups share what they fetch, where there are queries for both: keys and values are read from the L2 again
// for each block, at what it gives. Several blocks on a multiprocessor take turns at the tensor cores.
#include <cuda_runtime.h>

#include "eaq/kernel/cuda/attention.cuh"
#include "eaq/kernel/cuda/hopper/attention.h"
#include "eaq/kernel/cuda/hopper/wgmma.cuh"
#include "eaq/kernel/cuda/launch.cuh"

namespace eaq::kernel_cuda {
namespace {

constexpr int tile = 64, head = 64;  // a tile: a group's queries, or keys
constexpr float most_weight = 8;     // as a power of two; far from what f16 holds

template <class T, int Groups>
struct Shared {
  T q[Groups * tile][head], k[2][tile][head], v[2][tile][head];  // swizzled
};

// A head's rows, as a thread fetches them: one column of pieces.
template <int Groups>
struct Source {
  static constexpr int at_once = Groups * 128 / 8;
  const std::byte* first;  // of this thread
  std::int64_t row_bytes;

  __device__ Source(const Rows& rows, std::int64_t first_row, int first_col)
      : first(rows.data + ((first_row + threadIdx.x / 8) * rows.stride + first_col + threadIdx.x % 8 * 8) * 2),
        row_bytes(2 * rows.stride) {}

  // N rows from one on their way, zeros beyond `rows` (nothing is read for those).
  template <class T, int N>
  __device__ void fetch(T (&to)[N][head], int row, int rows) const {
    const int own = static_cast<int>(threadIdx.x) / 8;
    std::byte* place = reinterpret_cast<std::byte*>(&to[0][0]) + swizzled(own, static_cast<int>(threadIdx.x) % 8);
    const std::byte* from = first + row * row_bytes;
#pragma unroll
    for (int i = 0; i < N; i += at_once) copy_async_16(place + i * swizzled_row, from + i * row_bytes, row + own + i < rows);
  }
};

template <class T, int Groups>
__global__ void __launch_bounds__(128 * Groups, 4 / Groups) hopper_attention_kernel(AttentionView a) {
  constexpr int queries = Groups * tile;
  wait_for_earlier_kernel();
  let_next_kernel_start();
  const SequenceView s(a, static_cast<int>(blockIdx.y));
  // Later queries see more keys: of all heads and sequences they begin first.
  const int block_first = queries * static_cast<int>(a.causal ? gridDim.z - 1 - blockIdx.z : blockIdx.z);
  if (block_first >= s.queries) return;
  // What wgmma reads lies at multiples of 1024.
  const std::uint32_t start = shared_address(dynamic_shared());
  auto& shared = *reinterpret_cast<Shared<T, Groups>*>(
      dynamic_shared() + ((start + swizzled_alignment - 1) / swizzled_alignment * swizzled_alignment - start));
  const int first_col = static_cast<int>(blockIdx.x) * head, warp = static_cast<int>(threadIdx.x) / 32,
            lane = static_cast<int>(threadIdx.x) % 32, first_row = tile * (warp / 4), first_query = block_first + first_row;
  const int last_limit = s.limit(a, min(block_first + queries, s.queries) - 1), tiles = (last_limit + tile - 1) / tile;
  const Source<Groups> keys(a.keys, s.first_key, first_col), values(a.values, s.first_key, first_col);
  const auto fetch_tile = [&](int i) {
    keys.fetch(shared.k[i % 2], i * tile, last_limit);
    values.fetch(shared.v[i % 2], i * tile, last_limit);
  };
  Source<Groups>(a.qkv, s.first_row, first_col).fetch(shared.q, block_first, s.queries);
  fetch_tile(0);
  if (tiles > 1) fetch_tile(1);
  copy_async_commit();

  // What a group has nothing of it skips, and takes part in the fetching.
  const int own_tiles = first_query < s.queries ? (s.limit(a, min(first_query + tile, s.queries) - 1) + tile - 1) / tile : 0;
  const int own_query = block_first + 16 * warp + lane / 4;  // and that + 8
  const int limits[2] = {s.limit(a, min(own_query, s.queries - 1)), s.limit(a, min(own_query + 8, s.queries - 1))};
  const int whole_below = s.limit(a, min(block_first + 16 * warp, s.queries - 1));
  const float factor = a.scale * 1.4426950408889634f;  // 2^(score factor) is one instruction
  float result[32] = {}, largest[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0};
  std::uint32_t q[head / 16][4];  // this warp's queries: as an operand in registers they are read from shared memory once

  const auto take_tile = [&](int i) {
    float scores[32];
    const std::uint64_t k = describe_swizzled(shared_address(&shared.k[i % 2])),
                        v = describe_swizzled(shared_address(&shared.v[i % 2]));
    wgmma_begin();
#pragma unroll
    for (int d = 0; d < head / 16; ++d) wgmma_64x64x16<T>(scores, q[d], k + 2 * d, d > 0);
    wgmma_finish();

    const int first_key = i * tile;
    const auto key_of = [&](int e) { return first_key + e / 4 * 8 + lane % 4 * 2 + e % 2; };
    if (first_key + tile > whole_below) {
#pragma unroll
      for (int e = 0; e < 32; ++e) scores[e] = key_of(e) < limits[e / 2 % 2] ? scores[e] : -INFINITY;
    }
    if (a.mask != nullptr) {
      for (int e = 0; e < 32; ++e)
        if (key_of(e) < limits[e / 2 % 2] && !s.shown(a, key_of(e))) scores[e] = hidden_score;
    }
    // Scores to weights: powers of two of what they exceed a shift by. The shift is the largest score of the row when it was
    // set; it is set anew, and what was summed before rescaled, only where a weight would pass `most_weight`.
    float own_largest[2];
    bool small = true;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      own_largest[half] = largest[half];
#pragma unroll
      for (int e = 2 * half; e < 32; e += 4) own_largest[half] = fmaxf(own_largest[half], fmaxf(scores[e], scores[e + 1]));
      small &= (own_largest[half] - largest[half]) * factor <= most_weight;
    }
    if (!__all_sync(0xffffffffu, small)) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float now = own_largest[half];
        now = fmaxf(now, __shfl_xor_sync(0xffffffffu, now, 1));
        now = fmaxf(now, __shfl_xor_sync(0xffffffffu, now, 2));
        const float rescale = exp2_approximate((largest[half] - now) * factor);
        largest[half] = now, sum[half] *= rescale;
#pragma unroll
        for (int e = 2 * half; e < 32; e += 4) result[e] *= rescale, result[e + 1] *= rescale;
      }
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float shift = largest[half] * factor;
#pragma unroll
      for (int e = 2 * half; e < 32; e += 4) {
        scores[e] = exp2_approximate(fmaf(scores[e], factor, -shift));
        scores[e + 1] = exp2_approximate(fmaf(scores[e + 1], factor, -shift));
        sum[half] += scores[e] + scores[e + 1];  // this lane's columns; joined at the end
      }
    }
    std::uint32_t weights[tile / 16][4];
#pragma unroll
    for (int e = 0; e < 16; ++e) weights[e / 4][e % 4] = pair<T>(scores[2 * e], scores[2 * e + 1]);
    wgmma_begin();
#pragma unroll
    for (int key = 0; key < tile / 16; ++key) wgmma_64x64x16<T>(result, weights[key], v + key * (16 * swizzled_row >> 4));
    wgmma_finish();
  };
  copy_async_wait<0>();
  __syncthreads();
#pragma unroll
  for (int d = 0; d < head / 16; ++d)
    load_matrices(q[d], reinterpret_cast<const std::byte*>(&shared.q) + swizzled(16 * warp + lane % 16, 2 * d + lane / 16));
  for (int i = 0; i < tiles; ++i) {
    // Only what is read next is on its way here: showing it to wgmma waits for all copies.
    copy_async_wait<0>();
    show_to_wgmma();
    __syncthreads();  // this tile is whole, and nobody reads the one before any more
    if (i > 0 && i + 1 < tiles) {
      fetch_tile(i + 1);
      copy_async_commit();
    }
    if (i < own_tiles) take_tile(i);
  }

  // Results by way of the queries' place, so that whole pieces are stored. A warp's rows are its own.
  std::byte* const place = reinterpret_cast<std::byte*>(&shared.q);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float total = sum[half];
    total += __shfl_xor_sync(0xffffffffu, total, 1);
    total += __shfl_xor_sync(0xffffffffu, total, 2);
    const float share = 1 / total;
    const int row = 16 * warp + lane / 4 + 8 * half;
#pragma unroll
    for (int t = 0; t < 8; ++t)
      *reinterpret_cast<std::uint32_t*>(place + swizzled(row, t) + lane % 4 * 4) =
          pair<T>(result[4 * t + 2 * half] * share, result[4 * t + 2 * half + 1] * share);
  }
  __syncwarp();
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int row = 16 * warp + 4 * i + lane / 8, piece = lane % 8;
    if (block_first + row >= s.queries) continue;
    *reinterpret_cast<uint4*>(a.out.data + ((s.first_out + block_first + row) * a.out.stride + first_col + piece * 8) * 2) =
        *reinterpret_cast<const uint4*>(place + swizzled(row, piece));
  }
}

template <class T, int Groups>
void submit(CudaContext& context, const AttentionCall& call) {
  const auto blocks = static_cast<unsigned>((call.longest + Groups * tile - 1) / (Groups * tile));
  launch(context, "attention on Hopper's tensor cores",
         {dim3(static_cast<unsigned>(call.heads), static_cast<unsigned>(call.sequences), blocks), dim3(128 * Groups),
          sizeof(Shared<T, Groups>) + swizzled_alignment},
         hopper_attention_kernel<T, Groups>, view_of(call));
}

// Two groups a block, unless one is enough or multiprocessors would be left without a block.
template <class T>
void submit(CudaContext& context, const AttentionCall& call) {
  const std::int64_t blocks = (call.longest + 2 * tile - 1) / (2 * tile) * call.heads * call.sequences;
  if (call.longest <= tile || blocks < context.multiprocessors()) return submit<T, 1>(context, call);
  submit<T, 2>(context, call);
}

}  // namespace

bool fits_hopper_attention(const CudaContext& context, const AttentionCall& call) {
  return context.architecture() == 90 && call.head_dim == head && call.scale > 0 && fits_tensor_cores(context, call) &&
         call.out.stride % 8 == 0 && reinterpret_cast<std::uintptr_t>(call.out.data) % 16 == 0;
}

void attention_on_hopper(CudaContext& context, const AttentionCall& call) {
  call.qkv.dtype == DType::f16 ? submit<__half>(context, call) : submit<__nv_bfloat16>(context, call);
}

}  // namespace eaq::kernel_cuda

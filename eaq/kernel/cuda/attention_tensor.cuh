// Attention on tensor cores, as FlashAttention-2 does it (Dao, 2023): a warp has 16 queries of one head; keys and values pass by
// in tiles, the next one on its way while one is computed; scores and weights never leave registers. One source for every
// architecture (mma.m16n8k16).
#pragma once

#include <cuda_runtime.h>

#include "eaq/base/base.h"
#include "eaq/kernel/cuda/attention.cuh"
#include "eaq/kernel/cuda/launch.cuh"
#include "eaq/kernel/cuda/ptx.cuh"

namespace eaq::kernel_cuda {

template <class T, int D, int Warps>
struct TensorAttention {
  static constexpr int queries = 16 * Warps, keys = D <= 64 ? 64 : 32, threads = 32 * Warps;
  static constexpr int pitch = D + 8;  // elements: an odd number of 16-byte units, so that ldmatrix meets every bank once
  struct Shared {
    T q[queries][pitch];
    T k[2][keys][pitch], v[2][keys][pitch];
  };

  /// A tile's rows on their way; zeros beyond `rows` and beyond the head.
  static __device__ void fetch(T (*to)[pitch], int tile_rows, const Rows& from, std::int64_t first_row, int rows, int first_col,
                               int head_dim) {
    constexpr int units = D / 8;
    for (int i = static_cast<int>(threadIdx.x); i < tile_rows * units; i += threads) {
      const int row = i / units, col = i % units * 8;
      const bool there = row < rows && col < head_dim;
      const std::int64_t at = there ? (first_row + row) * from.stride + first_col + col : 0;
      copy_async_16(&to[row][col], from.data + at * static_cast<std::int64_t>(sizeof(T)), there);
    }
  }

  // One warp's part. A lane holds, of every 16 x 8 tile of scores or results, columns 2 (lane % 4) and the next of rows lane / 4
  // ([0], [1]) and lane / 4 + 8 ([2], [3]).
  struct Warp {
    const AttentionView& a;
    const SequenceView& s;
    int first_query, lane;  // first_query: of this warp
    std::uint32_t q[D / 16][4];
    float result[D / 8][4] = {};
    float largest[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0};

    __device__ int query(int half) const { return first_query + lane / 4 + 8 * half; }

    __device__ void load_queries(const T (*rows)[pitch]) {
#pragma unroll
      for (int i = 0; i < D / 16; ++i) load_matrices(q[i], &rows[lane % 16][16 * i + lane / 16 * 8]);
    }

    __device__ void score(float (&scores)[keys / 8][4], const T (*k)[pitch]) const {
#pragma unroll
      for (int n = 0; n < keys / 16; ++n) {
#pragma unroll
        for (int i = 0; i < D / 16; ++i) {
          std::uint32_t r[4];
          load_matrices(r, &k[16 * n + lane / 16 * 8 + lane % 8][16 * i + lane / 8 % 2 * 8]);
          mma_16x8x16<T>(scores[2 * n], q[i], {r[0], r[1]});
          mma_16x8x16<T>(scores[2 * n + 1], q[i], {r[2], r[3]});
        }
      }
    }

    // Scores to powers of two: 2^(score scale log2(e)) is one instruction. Only tiles at an end or under a mask look at each key.
    __device__ void scale_and_hide(float (&scores)[keys / 8][4], int first_key) const {
      const float factor = a.scale * 1.4426950408889634f;
      const bool whole = a.mask == nullptr && first_key + keys <= s.limit(a, min(first_query, s.queries - 1));
#pragma unroll
      for (int n = 0; n < keys / 8; ++n)
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          float& score = scores[n][e];
          score *= factor;
          if (whole) continue;
          const int key = first_key + 8 * n + lane % 4 * 2 + e % 2;
          if (key >= s.limit(a, min(query(e / 2), s.queries - 1)))
            score = -INFINITY;
          else if (!s.shown(a, key))
            score = hidden_score;
        }
    }

    // Scores to weights; what was summed before is rescaled to the new largest score.
    __device__ void weigh(float (&scores)[keys / 8][4]) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float now = largest[half];
#pragma unroll
        for (int n = 0; n < keys / 8; ++n) now = fmaxf(now, fmaxf(scores[n][2 * half], scores[n][2 * half + 1]));
        now = fmaxf(now, __shfl_xor_sync(0xffffffffu, now, 1));
        now = fmaxf(now, __shfl_xor_sync(0xffffffffu, now, 2));
        const float factor = exp2f(largest[half] - now);
        largest[half] = now;
        float total = 0;
#pragma unroll
        for (int n = 0; n < keys / 8; ++n)
#pragma unroll
          for (int e = 2 * half; e < 2 * half + 2; ++e) total += scores[n][e] = exp2f(scores[n][e] - now);
        sum[half] = sum[half] * factor + total;  // this lane's columns; joined at the end
#pragma unroll
        for (auto& tile : result) tile[2 * half] *= factor, tile[2 * half + 1] *= factor;
      }
    }

    __device__ void add_values(const float (&weights)[keys / 8][4], const T (*v)[pitch]) {
#pragma unroll
      for (int k = 0; k < keys / 16; ++k) {
        const std::uint32_t w[4] = {pair<T>(weights[2 * k][0], weights[2 * k][1]), pair<T>(weights[2 * k][2], weights[2 * k][3]),
                                    pair<T>(weights[2 * k + 1][0], weights[2 * k + 1][1]),
                                    pair<T>(weights[2 * k + 1][2], weights[2 * k + 1][3])};
#pragma unroll
        for (int d = 0; d < D / 16; ++d) {
          std::uint32_t r[4];
          load_matrices_transposed(r, &v[16 * k + lane / 8 % 2 * 8 + lane % 8][16 * d + lane / 16 * 8]);
          mma_16x8x16<T>(result[2 * d], w, {r[0], r[1]});
          mma_16x8x16<T>(result[2 * d + 1], w, {r[2], r[3]});
        }
      }
    }

    __device__ void store_result(int first_col) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float total = sum[half];
        total += __shfl_xor_sync(0xffffffffu, total, 1);
        total += __shfl_xor_sync(0xffffffffu, total, 2);
        if (query(half) >= s.queries) continue;
        auto* row = reinterpret_cast<T*>(a.out.data) + (s.first_out + query(half)) * a.out.stride + first_col;
#pragma unroll
        for (int n = 0; n < D / 8; ++n) {
          const int col = 8 * n + lane % 4 * 2;
          if (col < a.head_dim)
            *reinterpret_cast<std::uint32_t*>(row + col) = pair<T>(result[n][2 * half] / total, result[n][2 * half + 1] / total);
        }
      }
    }
  };

  static __device__ void run(const AttentionView& a) {
    wait_for_earlier_kernel();
    let_next_kernel_start();
    const SequenceView s(a, static_cast<int>(blockIdx.z));
    // Later queries see more keys: they begin first.
    const int tile = static_cast<int>(a.causal ? gridDim.x - 1 - blockIdx.x : blockIdx.x), first_query = tile * queries;
    if (first_query >= s.queries) return;
    auto& shared = *reinterpret_cast<Shared*>(dynamic_shared());
    const int first_col = static_cast<int>(blockIdx.y) * a.head_dim, warp = static_cast<int>(threadIdx.x) / 32;
    const int limit = s.limit(a, min(first_query + queries, s.queries) - 1);
    const auto fetch_keys = [&](int first_key, int stage) {
      fetch(shared.k[stage], keys, a.keys, s.first_key + first_key, limit - first_key, first_col, a.head_dim);
      fetch(shared.v[stage], keys, a.values, s.first_key + first_key, limit - first_key, first_col, a.head_dim);
      copy_async_commit();
    };
    fetch(shared.q, queries, a.qkv, s.first_row + first_query, s.queries - first_query, first_col, a.head_dim);
    fetch_keys(0, 0);

    Warp own{a, s, first_query + 16 * warp, static_cast<int>(threadIdx.x) % 32};
    for (int first_key = 0, stage = 0; first_key < limit; first_key += keys, stage ^= 1) {
      copy_async_wait<0>();
      __syncthreads();  // this tile is whole, and nobody reads the one before any more
      if (first_key == 0) own.load_queries(&shared.q[16 * warp]);
      if (first_key + keys < limit) fetch_keys(first_key + keys, stage ^ 1);
      float scores[keys / 8][4] = {};
      own.score(scores, shared.k[stage]);
      own.scale_and_hide(scores, first_key);
      own.weigh(scores);
      own.add_values(scores, shared.v[stage]);
    }
    own.store_result(first_col);
  }
};

template <class T, int D, int Warps>
__global__ void __launch_bounds__(32 * Warps) tensor_attention_kernel(AttentionView a) {
  TensorAttention<T, D, Warps>::run(a);
}

/// For one element type; the types' files instantiate it.
template <class T>
void run_tensor_attention(CudaContext& context, const AttentionCall& call) {
  const auto submit = [&]<int D, int Warps>() {
    using Kernel = TensorAttention<T, D, Warps>;
    const auto tiles = static_cast<unsigned>((call.longest + Kernel::queries - 1) / Kernel::queries);
    launch(context, "attention on tensor cores",
           {dim3(tiles, static_cast<unsigned>(call.heads), static_cast<unsigned>(call.sequences)), dim3(Kernel::threads),
            sizeof(typename Kernel::Shared)},
           tensor_attention_kernel<T, D, Warps>, view_of(call));
  };
  // Four warps share what they fetch; where that leaves multiprocessors idle, or most warps without a query, each goes alone.
  const std::int64_t blocks = (call.longest + 63) / 64 * call.heads * call.sequences;
  const bool alone = call.longest <= 32 || blocks < 2 * context.multiprocessors();
  const auto with_warps = [&]<int D>() {
    return alone ? submit.template operator()<D, 1>() : submit.template operator()<D, 4>();
  };
  if (call.head_dim <= 32) return with_warps.template operator()<32>();
  if (call.head_dim <= 64) return with_warps.template operator()<64>();
  with_warps.template operator()<128>();
}

}  // namespace eaq::kernel_cuda

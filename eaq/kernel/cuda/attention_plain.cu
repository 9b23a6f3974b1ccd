// Attention in f32 for any type and any head up to 256 elements: tiles of 32 queries and 32 keys in shared memory (of larger
// heads than 128 of 16 and 16, as Turing has 64 KiB), a softmax that is corrected from tile to tile (Milakov and Gimelshein,
// 2018).
#include <cuda_runtime.h>

#include "eaq/kernel/cuda/attention.cuh"
#include "eaq/kernel/cuda/launch.cuh"
#include "eaq/kernel/cuda/ptx.cuh"

namespace eaq::kernel_cuda {
namespace {

constexpr int threads = 128, sharing = 16;  // so many threads share some queries

template <int D>
struct Tiles {
  static constexpr int own_queries = D <= 128 ? 4 : 2, own_keys = D <= 128 ? 2 : 1;  // of a thread
  static constexpr int queries = threads / sharing * own_queries, keys = sharing * own_keys;
  static constexpr int pitch = D + 4, score_pitch = keys + 4;  // keeps rows in different banks, and float4s aligned
  float q[queries][pitch], k[keys][pitch], v[keys][pitch], weights[queries][score_pitch];
};
static_assert(sizeof(Tiles<64>) <= 64 << 10 && sizeof(Tiles<128>) <= 64 << 10 && sizeof(Tiles<256>) <= 64 << 10);

// A tile's rows as floats; zeros beyond `rows` and beyond the head.
template <int D, int V, int N>
__device__ void load_tile(float (&to)[N][D + 4], const Rows& from, std::int64_t first_row, int rows, int first_col,
                          int head_dim) {
  for (int i = static_cast<int>(threadIdx.x); i < N * D / V; i += threads) {
    const int row = i / (D / V), col = i % (D / V) * V;
    float values[V] = {};
    if (row < rows && col < head_dim) load<V>(values, from, first_row + row, first_col + col);
#pragma unroll
    for (int e = 0; e < V; ++e) to[row][col + e] = values[e];
  }
}

__device__ inline float dot(const float4& a, const float4& b, float sum) {
  return fmaf(a.w, b.w, fmaf(a.z, b.z, fmaf(a.y, b.y, fmaf(a.x, b.x, sum))));
}
__device__ inline float4 four(const float* p) { return *reinterpret_cast<const float4*>(p); }

template <int D, int V>
__global__ void __launch_bounds__(threads) plain_attention_kernel(AttentionView a) {
  wait_for_earlier_kernel();
  let_next_kernel_start();
  constexpr int queries = Tiles<D>::queries, keys = Tiles<D>::keys, own_queries = Tiles<D>::own_queries,
                own_keys = Tiles<D>::own_keys;
  const SequenceView s(a, static_cast<int>(blockIdx.z));
  const int first_query = static_cast<int>(blockIdx.x) * queries, first_col = static_cast<int>(blockIdx.y) * a.head_dim;
  if (first_query >= s.queries) return;
  auto& tiles = *reinterpret_cast<Tiles<D>*>(dynamic_shared());
  const int group = static_cast<int>(threadIdx.x) / sharing * own_queries, place = static_cast<int>(threadIdx.x) % sharing;
  load_tile<D, V>(tiles.q, a.qkv, s.first_row + first_query, s.queries - first_query, first_col, a.head_dim);

  constexpr int fours = D / 64;  // float4s of a result's row that one thread holds
  float largest[own_queries], sum[own_queries] = {};
  float4 result[own_queries][fours] = {};
  for (float& one : largest) one = -INFINITY;
  const int last_query = min(first_query + queries, s.queries) - 1, limit = s.limit(a, last_query);
  for (int first_key = 0; first_key < limit; first_key += keys) {
    __syncthreads();  // the tiles of the turn before are no longer read
    load_tile<D, V>(tiles.k, a.keys, s.first_key + first_key, limit - first_key, first_col, a.head_dim);
    load_tile<D, V>(tiles.v, a.values, s.first_key + first_key, limit - first_key, first_col, a.head_dim);
    __syncthreads();

    float scores[own_queries][own_keys] = {};
    for (int d = 0; d < D; d += 4) {
      float4 k[own_keys];
#pragma unroll
      for (int j = 0; j < own_keys; ++j) k[j] = four(&tiles.k[place + sharing * j][d]);
#pragma unroll
      for (int i = 0; i < own_queries; ++i) {
        const float4 q = four(&tiles.q[group + i][d]);
#pragma unroll
        for (int j = 0; j < own_keys; ++j) scores[i][j] = dot(q, k[j], scores[i][j]);
      }
    }
#pragma unroll
    for (int i = 0; i < own_queries; ++i) {
      const int query = min(first_query + group + i, last_query), own_limit = s.limit(a, query);
      float tile_largest = -INFINITY;
#pragma unroll
      for (int j = 0; j < own_keys; ++j) {
        const int key = first_key + place + sharing * j;
        float& score = scores[i][j];
        score = key >= own_limit ? -INFINITY : s.shown(a, key) ? score * a.scale : hidden_score;
        tile_largest = fmaxf(tile_largest, score);
      }
#pragma unroll
      for (int offset = sharing / 2; offset > 0; offset /= 2)
        tile_largest = fmaxf(tile_largest, __shfl_xor_sync(0xffffffffu, tile_largest, offset));
      const float now = fmaxf(largest[i], tile_largest), factor = largest[i] == now ? 1.0f : expf(largest[i] - now);
      largest[i] = now;
      float tile_sum = 0;
#pragma unroll
      for (int j = 0; j < own_keys; ++j) {
        const float weight = expf(scores[i][j] - now);
        tile_sum += weight;
        tiles.weights[group + i][place + sharing * j] = weight;
      }
#pragma unroll
      for (int offset = sharing / 2; offset > 0; offset /= 2) tile_sum += __shfl_xor_sync(0xffffffffu, tile_sum, offset);
      sum[i] = sum[i] * factor + tile_sum;
#pragma unroll
      for (float4& r : result[i]) r.x *= factor, r.y *= factor, r.z *= factor, r.w *= factor;
    }
    __syncwarp();  // the weights of these queries are this half-warp's own
    for (int key = 0; key < keys; ++key) {
#pragma unroll
      for (int f = 0; f < fours; ++f) {
        const float4 v = four(&tiles.v[key][64 * f + 4 * place]);
#pragma unroll
        for (int i = 0; i < own_queries; ++i) {
          const float weight = tiles.weights[group + i][key];
          float4& r = result[i][f];
          r.x = fmaf(weight, v.x, r.x), r.y = fmaf(weight, v.y, r.y), r.z = fmaf(weight, v.z, r.z), r.w = fmaf(weight, v.w, r.w);
        }
      }
    }
  }
#pragma unroll
  for (int i = 0; i < own_queries; ++i) {
    const int query = first_query + group + i;
    if (query >= s.queries) continue;
#pragma unroll
    for (int f = 0; f < fours; ++f) {
      const float4 r = result[i][f];
      const float values[4] = {r.x / sum[i], r.y / sum[i], r.z / sum[i], r.w / sum[i]};
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int col = 64 * f + 4 * place + e;
        const float one[1] = {values[e]};
        if (col < a.head_dim) store<1>(a.out, s.first_out + query, first_col + col, one);
      }
    }
  }
}

template <int D>
void run(CudaContext& context, const AttentionCall& call, bool eight) {
  constexpr int queries = Tiles<D>::queries;
  const auto blocks = static_cast<unsigned>((call.longest + queries - 1) / queries);
  launch(context, "attention in f32",
         {dim3(call.first_query_only ? 1 : blocks, static_cast<unsigned>(call.heads), static_cast<unsigned>(call.sequences)),
          dim3(threads), sizeof(Tiles<D>)},
         eight ? plain_attention_kernel<D, 8> : plain_attention_kernel<D, 1>, view_of(call));
}

}  // namespace

bool moves_eight(const AttentionCall& call) {
  const AttentionView a = view_of(call);
  const auto aligned = [](const Rows& m) {
    return m.stride * static_cast<std::int64_t>(size_of(m.dtype)) % 16 == 0 && reinterpret_cast<std::uintptr_t>(m.data) % 16 == 0;
  };
  return call.head_dim % 8 == 0 && aligned(a.qkv) && aligned(a.keys) && aligned(a.values);
}

void attention_plain(CudaContext& context, const AttentionCall& call) {
  const bool eight = moves_eight(call);
  if (call.head_dim <= 64) return run<64>(context, call, eight);
  if (call.head_dim <= 128) return run<128>(context, call, eight);
  run<256>(context, call, eight);
}

}  // namespace eaq::kernel_cuda

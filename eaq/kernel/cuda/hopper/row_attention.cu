// A decoding step's q, k and v, and its attention over them: in a chain of short kernels the links count, and here is one less.
// The blocks of a cluster have a head. Each makes an eighth of its q, k and v and tells the others; each attends to its share of
// the keys, which were on their way before the kernel ahead had ended, and tells an eighth of what it found to each.
#include <cuda_runtime.h>

#include "eaq/kernel/cuda/attention.cuh"
#include "eaq/kernel/cuda/attention_single.cuh"
#include "eaq/kernel/cuda/few_rows.cuh"
#include "eaq/kernel/cuda/hopper/cluster.cuh"
#include "eaq/kernel/cuda/hopper/row_attention.h"
#include "eaq/kernel/cuda/launch.cuh"

namespace eaq::kernel_cuda {
namespace {

constexpr int threads = 256, warps = threads / 32, blocks = 8;  // blocks: of a cluster
constexpr int all_warps = blocks * warps;                       // of a head
constexpr int keys_a_turn = all_warps * keys_at_once;
static_assert(a_warp == most_row_attention_k);

// As it is in the cache.
template <Storage S>
__device__ float stored(float x) {
  if constexpr (S == Storage::f16) return __half2float(__float2half_rn(x));
  return __bfloat162float(__float2bfloat16_rn(x));
}

__device__ float warp_max(float x) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, offset));
  return x;
}

// Elements of a head: a warp of the cluster makes `Turns` of each of q, k and v, one in every 64; a lane holds as many groups of
// eight of a key.
template <int Turns, Storage S>
__global__ void __launch_bounds__(threads) row_attention_kernel(FewRows f, AttentionView a) {
  assume<S>(f.x, f.w, f.bias, a.keys, a.values, a.out);
  constexpr int own = 8 * Turns, held_head = 64 * Turns;
  __shared__ float made[3][held_head];      // q, k and v
  __shared__ float2 softmax_of[all_warps];  // largest, sum
  alignas(16) __shared__ float weighted_of[all_warps][own];
  const int block = static_cast<int>(blockIdx.x) % blocks, head = static_cast<int>(blockIdx.x) / blocks;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = block * warps + static_cast<int>(threadIdx.x) / 32;
  const int first_col = head * a.head_dim, part = lane % lanes_a_key, third = lane / lanes_a_key;
  arrive_in_cluster();

  // Of what this kernel reads only x is the work of the kernel ahead: the rest may be on its way.
  const auto place = [&](int i) { return (i * 32 + lane) * 8; };
  Packed w[3 * Turns][most_held];
  HeldNorm held;
  float bias[Turns] = {};
#pragma unroll
  for (int t = 0; t < Turns; ++t) {
    const int col = first_col + t * all_warps + warp;
#pragma unroll
    for (int p = 0; p < 3; ++p)
#pragma unroll
      for (int i = 0; i < most_held; ++i)
        if (place(i) < f.k && t * all_warps + warp < a.head_dim)
          w[3 * t + p][i] = load_packed(f.w, p * a.width() + col, place(i));
    if (f.bias.data != nullptr && third < 3 && t * all_warps + warp < a.head_dim) {
      float one[1];
      load<1>(one, f.bias, 0, third * a.width() + col);
      bias[t] = one[0];
    }
  }
  if (f.norm.gamma != nullptr) held.load(f, place);
  const int past = __ldcg(a.past), limit = past + 1;
  const auto load_key = [&](Packed(&to)[Turns], const Rows& from, int key) {
#pragma unroll
    for (int t = 0; t < Turns; ++t) {
      const int col = (t * lanes_a_key + part) * 8;
      to[t].low = make_uint4(0, 0, 0, 0);
      if (key < past && col < a.head_dim) to[t] = load_packed(from, key, first_col + col);
    }
  };
  int key = warp * keys_at_once + lane / lanes_a_key;
  Packed k[Turns], v[Turns];
  load_key(k, a.keys, key);
  load_key(v, a.values, key);
  wait_for_earlier_kernel();
  let_next_kernel_start();

  float x[most_held][8] = {};
#pragma unroll
  for (int i = 0; i < most_held; ++i)
    if (place(i) < f.k) load<8>(x[i], f.x, 0, place(i));
  if (f.norm.gamma != nullptr) held.apply(x, f, place);
  float sums[3 * Turns] = {};
#pragma unroll
  for (int i = 0; i < most_held; ++i) {
    if (place(i) >= f.k) continue;
#pragma unroll
    for (int o = 0; o < 3 * Turns; ++o) {
      float weights[8];
      unpack(weights, w[o][i], f.w.dtype);
#pragma unroll
      for (int e = 0; e < 8; ++e) sums[o] += weights[e] * x[i][e];
    }
  }
#pragma unroll
  for (float& sum : sums) sum = warp_sum(sum);
  wait_for_cluster();  // all of its blocks have begun
#pragma unroll
  for (int t = 0; t < Turns; ++t) {
    const int element = t * all_warps + warp;
    if (third >= 3 || element >= a.head_dim) continue;
    const float result = (third == 0 ? sums[3 * t] : third == 1 ? sums[3 * t + 1] : sums[3 * t + 2]) + bias[t];
    store_there(in_block(&made[third][element], part), stored<S>(result));
  }
  arrive_in_cluster();
  wait_for_cluster();

  const auto made_of = [&](float(&to)[own], int which) {
#pragma unroll
    for (int t = 0; t < Turns; ++t) {
      const int col = (t * lanes_a_key + part) * 8;
#pragma unroll
      for (int e = 0; e < 8; ++e) to[8 * t + e] = col < a.head_dim ? made[which][col + e] : 0.0f;
    }
  };
  float q[own];
  made_of(q, 0);
  Partial<own> mine;
  for (int base = 0; base + warp * keys_at_once < limit; base += keys_a_turn) {
    if (base > 0) {
      key += keys_a_turn;
      load_key(k, a.keys, key);
      load_key(v, a.values, key);
    }
    float one_k[own], one_v[own];
#pragma unroll
    for (int t = 0; t < Turns; ++t) {
      unpack(reinterpret_cast<float(&)[8]>(one_k[8 * t]), k[t], a.keys.dtype);
      unpack(reinterpret_cast<float(&)[8]>(one_v[8 * t]), v[t], a.values.dtype);
    }
    if (key == past) {  // the new one, which goes to its place
      made_of(one_k, 1);
      made_of(one_v, 2);
#pragma unroll
      for (int t = 0; t < Turns; ++t) {
        const int col = (t * lanes_a_key + part) * 8;
        if (col >= a.head_dim) continue;
        store<8>(a.keys, key, first_col + col, reinterpret_cast<float(&)[8]>(one_k[8 * t]));
        store<8>(a.values, key, first_col + col, reinterpret_cast<float(&)[8]>(one_v[8 * t]));
      }
    }
    const float score = score_of(q, one_k);
    if (key < limit) mine.take(score * a.scale, one_v);
  }
  mine.join_lanes();

  // Each block joins an eighth of the head's elements, as a lane has them; two lanes share the telling.
  if (lane < lanes_a_key) store_there(in_block(&softmax_of[warp], part), mine.largest, mine.sum);
  if (lane < 2 * Turns * lanes_a_key) {
    const int quarter = lane / lanes_a_key;
    float4 four = make_float4(mine.weighted[0], mine.weighted[1], mine.weighted[2], mine.weighted[3]);
#pragma unroll
    for (int i = 1; i < 2 * Turns; ++i)
      if (quarter == i)
        four = make_float4(mine.weighted[4 * i], mine.weighted[4 * i + 1], mine.weighted[4 * i + 2], mine.weighted[4 * i + 3]);
    store_there(in_block(&weighted_of[warp][4 * quarter], part), four);
  }
  arrive_in_cluster();
  wait_for_cluster();
#pragma unroll
  for (int t = 0; t < Turns; ++t) {
    const int within = static_cast<int>(threadIdx.x) / 32;  // of the eighth: a warp has one
    const int col = (t * lanes_a_key + block) * 8 + within;
    const float2 one = softmax_of[lane], other = softmax_of[lane + 32];
    const float largest = warp_max(fmaxf(one.x, other.x));
    const float one_factor = __expf(one.x - largest), other_factor = __expf(other.x - largest);
    const float sum = warp_sum(one_factor * one.y + other_factor * other.y);
    const float weighted =
        warp_sum(one_factor * weighted_of[lane][8 * t + within] + other_factor * weighted_of[lane + 32][8 * t + within]);
    const float out[1] = {weighted / sum};
    if (lane == 0 && col < a.head_dim) store<1>(a.out, 0, first_col + col, out);
  }
}

}  // namespace

bool fits_row_attention(const CudaContext& context, const GemmCall& p, const AttentionCall& a) {
  const auto of_one_type = [&](DType dtype) { return dtype == p.w.dtype; };
  return context.architecture() == 90 && can_multiply_and_attend(p.x.cols, a.head_dim, p.w.dtype) && fits_few_rows(p) &&
         p.x.rows == 1 && p.activation == Activation::none && p.residual == nullptr && a.cache.keys != nullptr &&
         a.past != nullptr && a.rows == 1 && a.sequences == 1 && a.mask == nullptr && a.shown == nullptr && moves_eight(a) &&
         of_one_type(a.cache.dtype) && of_one_type(a.out.dtype) && of_one_type(a.qkv.dtype) &&
         p.w.rows == 3 * a.heads * a.head_dim;
}

void row_attention(CudaContext& context, const GemmCall& p, const AttentionCall& call) {
  const FewRows f{.rows = 1,
                  .n = static_cast<int>(p.w.rows),
                  .k = static_cast<int>(p.x.cols),
                  .x = rows_of(p.x),
                  .w = rows_of(p.w),
                  .y = rows_of(call.qkv),
                  .bias = {const_cast<std::byte*>(p.bias), 0, call.qkv.dtype},
                  .residual = {nullptr, 0, DType::f32},
                  .activation = Activation::none,
                  .norm = p.norm != nullptr ? *p.norm : NormVectors{}};
  const AttentionView a = view_of(call);
  const Launch how{.grid = dim3(static_cast<unsigned>(call.heads * blocks)), .block = dim3(threads), .cluster = blocks};
  with_storage({p.w.dtype}, [&]<Storage S>() {
    if constexpr (S == Storage::f16 || S == Storage::bf16) {
      const auto kernel = call.head_dim <= 64 ? row_attention_kernel<1, S> : row_attention_kernel<2, S>;
      launch(context, "a row's product and attention", how, kernel, f, a);
    }
  });
}

}  // namespace eaq::kernel_cuda

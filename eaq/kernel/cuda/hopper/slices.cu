// Products of about a hundred rows, whose time is that of getting 128 rows of x and all of w to the multiprocessors: each block
// has 128 x 64 results and a slice of k that its shared memory holds whole, so that everything is on its way at once, the weight
// before the kernel ahead has ended. The blocks of a cluster have the slices of the same results; each sums up a part of them.
#include <cuda_runtime.h>

#include "eaq/kernel/cuda/hopper/cluster.cuh"
#include "eaq/kernel/cuda/hopper/gelu.cuh"
#include "eaq/kernel/cuda/hopper/kernels.h"
#include "eaq/kernel/cuda/hopper/wgmma.cuh"

namespace eaq::kernel_cuda {
namespace {

constexpr int threads = 256, tile_m = 128, tile_n = 64, depth = 64;  // depth: of a chunk, a row of shared memory
constexpr int most_chunks = 6;                                       // of a slice

template <class T>
struct Chunk {
  T x[tile_m][depth], w[tile_n][depth];  // swizzled
};
constexpr std::size_t sums_bytes = sizeof(float) * tile_m * tile_n;

// N rows of a chunk on their way; zeros beyond `rows` and beyond `cols`.
template <class T, int N>
__device__ void fetch(T (&to)[N][depth], const T* from, std::int64_t stride, int rows, int cols) {
  const int own = static_cast<int>(threadIdx.x) / 8, piece = static_cast<int>(threadIdx.x) % 8;
  std::byte* place = reinterpret_cast<std::byte*>(&to[0][0]) + swizzled(own, piece);
#pragma unroll
  for (int i = 0; i < N; i += threads / 8)
    copy_async_16(place + i * swizzled_row, from + (own + i) * stride + piece * 8, own + i < rows && piece * 8 < cols);
}

template <class T>
__device__ float2 two(const T* at) {
  if constexpr (std::is_same_v<T, __half>)
    return __half22float2(*reinterpret_cast<const __half2*>(at));
  else
    return __bfloat1622float2(*reinterpret_cast<const __nv_bfloat162*>(at));
}
template <class T>
__device__ void store_two(T* at, float2 v) {
  if constexpr (std::is_same_v<T, __half>)
    *reinterpret_cast<__half2*>(at) = __floats2half2_rn(v.x, v.y);
  else
    *reinterpret_cast<__nv_bfloat162*>(at) = __floats2bfloat162_rn(v.x, v.y);
}

__device__ float activated(HopperActivation activation, float x) {
  if (activation == HopperActivation::gelu) return fast_gelu(x);
  if (activation == HopperActivation::gelu_tanh) return fast_gelu_tanh(x);
  return x;
}

// Slices: blocks of a cluster, along x.
template <class T, int Slices>
__global__ void __launch_bounds__(threads, 1) slices_kernel(HopperCall c) {
  const std::uint32_t start = shared_address(dynamic_shared());
  std::byte* const base = dynamic_shared() + ((start + swizzled_alignment - 1) / swizzled_alignment * swizzled_alignment - start);
  auto* const chunks = reinterpret_cast<Chunk<T>*>(base + sums_bytes);
  auto* const sums = reinterpret_cast<float*>(base);  // [Slices][32 / Slices / 2][threads] pairs: what the others have of my part
  const int slice = static_cast<int>(blockIdx.x) % Slices, first_col = static_cast<int>(blockIdx.x) / Slices * tile_n,
            first_row = static_cast<int>(blockIdx.y) * tile_m;
  const int all_chunks = (c.k + depth - 1) / depth, a_slice = (all_chunks + Slices - 1) / Slices, first_chunk = slice * a_slice,
            count = max(0, min(a_slice, all_chunks - first_chunk));
  const auto *x = static_cast<const T*>(c.x.data) + first_row * c.x.stride,
             *w = static_cast<const T*>(c.w.data) + first_col * c.w.stride;

  if (!c.w_stays) wait_for_earlier_kernel();
  for (int i = 0; i < count; ++i) {
    const int k = (first_chunk + i) * depth;
    fetch(chunks[i].w, w + k, c.w.stride, c.n - first_col, c.k - k);
  }
  // The results of this thread that this block sums up: pairs of columns, of the tiles of eight that are its part.
  constexpr int pairs = 16 / Slices;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const auto col_of = [&](int i) { return first_col + (slice * pairs + i) / 2 * 8 + lane % 4 * 2; };
  const auto row_of = [&](int i) { return first_row + 16 * warp + lane / 4 + (slice * pairs + i) % 2 * 8; };
  float2 bias[pairs], added[pairs];
#pragma unroll
  for (int i = 0; i < pairs; ++i) {
    bias[i] = added[i] = make_float2(0, 0);
    if (c.bias != nullptr && col_of(i) < c.n) bias[i] = two(static_cast<const T*>(c.bias) + col_of(i));
  }
  wait_for_earlier_kernel();
  let_next_kernel_start();
  for (int i = 0; i < count; ++i) {
    const int k = (first_chunk + i) * depth;
    fetch(chunks[i].x, x + k, c.x.stride, c.m - first_row, c.k - k);
  }
  copy_async_commit();
  if constexpr (Slices > 1) arrive_in_cluster();
  if (c.residual.data != nullptr) {
#pragma unroll
    for (int i = 0; i < pairs; ++i)
      if (row_of(i) < c.m && col_of(i) < c.n)
        added[i] = two(static_cast<const T*>(c.residual.data) + row_of(i) * c.residual.stride + col_of(i));
  }

  copy_async_wait<0>();
  show_to_wgmma();
  __syncthreads();
  float result[32];
  wgmma_begin();
  for (int i = 0; i < count; ++i) {
    const Described a = describe_swizzled(shared_address(&chunks[i].x[warp / 4 * 64])),
                    b = describe_swizzled(shared_address(&chunks[i].w));
#pragma unroll
    for (int k = 0; k < depth / 16; ++k) wgmma_64x64x16<T>(result, a + 2 * k, b + 2 * k, i + k > 0);
  }
  wgmma_finish();
  if (count == 0) {
#pragma unroll
    for (float& one : result) one = 0;
  }

  float2 own[pairs];
  if constexpr (Slices > 1) {
    wait_for_cluster();  // all of its blocks have begun
#pragma unroll
    for (int to = 0; to < Slices; ++to)
#pragma unroll
      for (int i = 0; i < pairs; ++i)
        store_there(in_block(sums + 2 * ((slice * pairs + i) * threads + static_cast<int>(threadIdx.x)), to),
                    result[2 * (to * pairs + i)], result[2 * (to * pairs + i) + 1]);
    arrive_in_cluster();
    wait_for_cluster();
#pragma unroll
    for (int i = 0; i < pairs; ++i) {
      own[i] = make_float2(0, 0);
#pragma unroll
      for (int from = 0; from < Slices; ++from) {
        const float2 part = reinterpret_cast<const float2*>(sums)[(from * pairs + i) * threads + static_cast<int>(threadIdx.x)];
        own[i].x += part.x, own[i].y += part.y;
      }
    }
  } else {
#pragma unroll
    for (int i = 0; i < pairs; ++i) own[i] = make_float2(result[2 * i], result[2 * i + 1]);
  }
#pragma unroll
  for (int i = 0; i < pairs; ++i) {
    if (row_of(i) >= c.m || col_of(i) >= c.n) continue;
    const float2 value = make_float2(activated(c.activation, own[i].x + bias[i].x) + added[i].x,
                                     activated(c.activation, own[i].y + bias[i].y) + added[i].y);
    store_two(static_cast<T*>(c.y.data) + row_of(i) * c.y.stride + col_of(i), value);
  }
}

template <class T, int Slices>
std::string launch_slices(const HopperCall& call) {
  const int chunks = ((call.k + depth - 1) / depth + Slices - 1) / Slices;
  if (chunks > most_chunks) return "a slice of k does not fit into shared memory";
  const std::size_t shared = static_cast<std::size_t>(chunks) * sizeof(Chunk<T>) + sums_bytes + swizzled_alignment;
  const dim3 grid(static_cast<unsigned>((call.n + tile_n - 1) / tile_n * Slices),
                  static_cast<unsigned>((call.m + tile_m - 1) / tile_m));
  return launch_in_clusters(Slices, grid, threads, shared, call.stream, slices_kernel<T, Slices>, call);
}

template <class T>
std::string run(const HopperCall& call) {
  switch (call.splits) {
    case 1:
      return launch_slices<T, 1>(call);
    case 2:
      return launch_slices<T, 2>(call);
    case 4:
      return launch_slices<T, 4>(call);
    case 8:
      return launch_slices<T, 8>(call);
    default:
      return "there is no such number of slices";
  }
}

}  // namespace

std::string run_slices_f16(const HopperCall& call) { return run<__half>(call); }
std::string run_slices_bf16(const HopperCall& call) { return run<__nv_bfloat16>(call); }

}  // namespace eaq::kernel_cuda

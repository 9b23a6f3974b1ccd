// A product for any size, stride and alignment: tiles of 64 x 64 in shared memory, f32 sums in registers. Plain rather than fast.
#include <cuda_runtime.h>

#include "eaq/kernel/cuda/elements.cuh"
#include "eaq/kernel/cuda/gemm.h"
#include "eaq/kernel/cuda/launch.cuh"
#include "eaq/kernel/cuda/ptx.cuh"

namespace eaq::kernel_cuda {
namespace {

constexpr int tile = 64, depth = 16, threads = 256, own = 4;

struct PlainGemm {
  std::int64_t m, n, k;
  Rows x, w, y, bias, residual;  // bias: one row
  Activation activation;
};

__global__ void __launch_bounds__(threads) plain_gemm_kernel(PlainGemm g) {
  __shared__ float xs[depth][tile + 1], ws[depth][tile + 1];
  wait_for_earlier_kernel();
  let_next_kernel_start();
  const std::int64_t row0 = static_cast<std::int64_t>(blockIdx.y) * tile, col0 = static_cast<std::int64_t>(blockIdx.x) * tile;
  const int thread = static_cast<int>(threadIdx.x), ty = thread / 16, tx = thread % 16;
  float sums[own][own] = {};
  for (std::int64_t k0 = 0; k0 < g.k; k0 += depth) {
    __syncthreads();
    for (int i = thread; i < tile * depth; i += threads) {
      const int r = i / depth, d = i % depth;
      float a[1] = {0}, b[1] = {0};
      if (row0 + r < g.m && k0 + d < g.k) load<1>(a, g.x, row0 + r, k0 + d);
      if (col0 + r < g.n && k0 + d < g.k) load<1>(b, g.w, col0 + r, k0 + d);
      xs[d][r] = a[0], ws[d][r] = b[0];
    }
    __syncthreads();
    for (int d = 0; d < depth; ++d)
#pragma unroll
      for (int i = 0; i < own; ++i)
#pragma unroll
        for (int j = 0; j < own; ++j) sums[i][j] = fmaf(xs[d][ty + 16 * i], ws[d][tx + 16 * j], sums[i][j]);
  }
#pragma unroll
  for (int i = 0; i < own; ++i) {
#pragma unroll
    for (int j = 0; j < own; ++j) {
      const std::int64_t row = row0 + ty + 16 * i, col = col0 + tx + 16 * j;
      if (row >= g.m || col >= g.n) continue;
      float bias[1] = {0}, residual[1] = {0};
      if (g.bias.data != nullptr) load<1>(bias, g.bias, 0, col);
      if (g.residual.data != nullptr) load<1>(residual, g.residual, row, col);
      const float value[1] = {activate(g.activation, sums[i][j] + bias[0]) + residual[0]};
      store<1>(g.y, row, col, value);
    }
  }
}

}  // namespace

void plain_gemm(CudaContext& context, const GemmCall& c) {
  if (c.x.rows == 0) return;
  const Rows bias{const_cast<std::byte*>(c.bias), 0, c.y.dtype};
  const PlainGemm g{.m = c.x.rows,
                    .n = c.w.rows,
                    .k = c.x.cols,
                    .x = rows_of(c.x),
                    .w = rows_of(c.w),
                    .y = rows_of(c.y),
                    .bias = bias,
                    .residual = c.residual != nullptr ? rows_of(*c.residual) : Rows{nullptr, 0, DType::f32},
                    .activation = c.activation};
  const auto blocks = [](std::int64_t n) { return static_cast<unsigned>((n + tile - 1) / tile); };
  launch(context, "a plain product", {dim3(blocks(g.n), blocks(g.m)), dim3(threads), 0}, plain_gemm_kernel, g);
}

}  // namespace eaq::kernel_cuda

// The product of one row, as decoding has it: a chain of these is all a token is, so what counts is how soon a kernel has its
// input and is done. Weights, bias and norm are in registers before the kernel ahead has ended. A warp reads the input for
// itself, just where its lanes have their weights, and norms it by itself: warps meet only where they share outputs.
#include <cuda_runtime.h>

#include "eaq/kernel/cuda/few_rows.cuh"
#include "eaq/kernel/cuda/launch.cuh"
#include "eaq/kernel/cuda/ptx.cuh"

namespace eaq::kernel_cuda {
namespace {

constexpr int threads = 256, warps = threads / 32;

// Sharers: warps that share outputs, each with a part of k; with a norm it is one.
template <int Outputs, int Sharers, Storage S>
__global__ void __launch_bounds__(threads) one_row_kernel(FewRows f) {
  assume<S>(f.x, f.w);
  constexpr int groups = warps / Sharers;
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int block_first = static_cast<int>(blockIdx.x) * groups * Outputs, first = block_first + warp / Sharers * Outputs;
  const auto place = [&](int i) { return ((i * Sharers + warp % Sharers) * 32 + lane) * 8; };
  const bool norms = Sharers == 1 && f.norm.gamma != nullptr;

  Packed w[most_held][Outputs];
  HeldNorm held;
#pragma unroll
  for (int i = 0; i < most_held; ++i) {
    if (place(i) >= f.k) continue;
#pragma unroll
    for (int o = 0; o < Outputs; ++o) w[i][o] = load_packed(f.w, min(first + o, f.n - 1), place(i));
  }
  if (norms) held.load(f, place);
  // Who writes a result: a lane of its warp, or of those that share it a thread of the block.
  const int col = Sharers == 1 ? first + lane : block_first + static_cast<int>(threadIdx.x);
  const bool writes = (Sharers == 1 ? lane < Outputs : static_cast<int>(threadIdx.x) < groups * Outputs) && col < f.n;
  float bias[1] = {0}, residual[1] = {0};
  if (writes && f.bias.data != nullptr) load<1>(bias, f.bias, 0, col);
  wait_for_earlier_kernel();
  let_next_kernel_start();
  if (writes && f.residual.data != nullptr) load<1>(residual, f.residual, 0, col);

  float x[most_held][8] = {};
#pragma unroll
  for (int i = 0; i < most_held; ++i)
    if (place(i) < f.k) load<8>(x[i], f.x, 0, place(i));
  if (norms) held.apply(x, f, place);

  float sums[Outputs] = {};
#pragma unroll
  for (int i = 0; i < most_held; ++i) {
    if (place(i) >= f.k) continue;
#pragma unroll
    for (int o = 0; o < Outputs; ++o) {
      float weights[8];
      unpack(weights, w[i][o], f.w.dtype);
#pragma unroll
      for (int e = 0; e < 8; ++e) sums[o] += weights[e] * x[i][e];
    }
  }
  __shared__ float parts[warps][Outputs];
  float result = 0;
#pragma unroll
  for (int o = 0; o < Outputs; ++o) {
    const float sum = warp_sum(sums[o]);
    if (lane == o) result = sum;
  }
  if constexpr (Sharers > 1) {
    if (lane < Outputs) parts[warp][lane] = result;
    __syncthreads();
    const int group = static_cast<int>(threadIdx.x) / Outputs % groups;
    result = 0;
#pragma unroll
    for (int s = 0; s < Sharers; ++s) result += parts[group * Sharers + s][static_cast<int>(threadIdx.x) % Outputs];
  }
  if (!writes) return;
  const float value[1] = {activate(f.activation, result + bias[0]) + residual[0]};
  store<1>(f.y, 0, col, value);
}

template <int Outputs, int Sharers>
void submit(CudaContext& context, const FewRows& f) {
  constexpr int a_block = warps / Sharers * Outputs;
  const Launch how{dim3(static_cast<unsigned>((f.n + a_block - 1) / a_block)), dim3(threads), 0};
  with_storage({f.w.dtype},
               [&]<Storage S>() { launch(context, "a product of a row", how, one_row_kernel<Outputs, Sharers, S>, f); });
}

}  // namespace

bool fits_one_row(const FewRows& f) { return f.rows == 1 && (f.k <= a_warp || (f.k <= 4 * a_warp && f.norm.gamma == nullptr)); }

// Enough blocks for every multiprocessor come first, then several loads at once for each lane.
void multiply_one_row(CudaContext& context, const FewRows& f) {
  if (f.k > a_warp) return f.n >= 16384 ? submit<4, 4>(context, f) : submit<2, 4>(context, f);
  if (f.n >= 16384) return submit<4, 1>(context, f);
  if (f.n >= 2048) return submit<2, 1>(context, f);
  submit<1, 1>(context, f);
}

}  // namespace eaq::kernel_cuda

// Reductions over a block that looks at logits, and over the blocks of a row.
#pragma once

#include <cstdint>

namespace eaq::kernel_cuda {

constexpr int threads_that_judge = 256;  ///< every block that uses what is below

// The largest value and the lowest index that has it. NaN never wins; a row of nothing else has index 0.
struct Largest {
  float value = -INFINITY;
  std::int32_t index = 0x7fffffff;

  __device__ void take(float other, std::int32_t at) {
    if (other > value || (other == value && at < index)) value = other, index = at;
  }
};

__device__ inline double sum_over_block(double x) {
  __shared__ double parts[threads_that_judge / 32];
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) x += __shfl_xor_sync(0xffffffffu, x, offset);
  __syncthreads();
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
  __syncthreads();
  double sum = 0;
  for (const double part : parts) sum += part;
  return sum;
}

__device__ inline Largest largest_of_block(Largest mine) {
  __shared__ float values[threads_that_judge / 32];
  __shared__ std::int32_t indices[threads_that_judge / 32];
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2)
    mine.take(__shfl_xor_sync(0xffffffffu, mine.value, offset), __shfl_xor_sync(0xffffffffu, mine.index, offset));
  __syncthreads();
  if (threadIdx.x % 32 == 0) values[threadIdx.x / 32] = mine.value, indices[threadIdx.x / 32] = mine.index;
  __syncthreads();
  Largest all;
  for (int warp = 0; warp < threads_that_judge / 32; ++warp) all.take(values[warp], indices[warp]);
  return all;
}

/// By all threads, with what they found written to memory: true in the last of a row's blocks (along x) to come here, which sees
/// what all others wrote. `arrived` is zero before and after.
__device__ inline bool is_last_of_row(unsigned* arrived) {
  __shared__ bool last;
  __syncthreads();
  if (threadIdx.x == 0) {
    __threadfence();  // of what the whole block wrote before the barrier
    last = atomicAdd(arrived, 1u) + 1 == gridDim.x;
    if (last) *arrived = 0;
    __threadfence();
  }
  __syncthreads();
  return last;
}

}  // namespace eaq::kernel_cuda

#include "eaq/kernel/cuda.h"

#include <cuda_runtime.h>

#include <algorithm>

#include "eaq/kernel/cuda/elements.cuh"
#include "eaq/kernel/cuda/largest.cuh"
#include "eaq/kernel/cuda/launch.cuh"
#include "eaq/kernel/cuda/ptx.cuh"

namespace eaq::kernel_cuda {
namespace {

constexpr int threads = threads_that_judge;

struct Summary {
  Largest largest;
  double log_sum_exp, sum;
  std::int32_t non_finite;
};

__device__ Summary summarise(const float* logits, int cols) {
  Largest mine;
  int bad = 0;
  for (int c = static_cast<int>(threadIdx.x); c < cols; c += threads) {
    mine.take(logits[c], c);
    bad += isfinite(logits[c]) ? 0 : 1;
  }
  Summary s{};
  s.largest = largest_of_block(mine);
  s.non_finite = static_cast<std::int32_t>(sum_over_block(bad));
  double sum = 0;
  for (int c = static_cast<int>(threadIdx.x); c < cols; c += threads)
    sum += static_cast<double>(expf(logits[c] - s.largest.value));
  s.sum = sum_over_block(sum);
  s.log_sum_exp = static_cast<double>(s.largest.value) + log(s.sum);
  if (s.largest.index >= cols) s.largest.index = 0;
  return s;
}

__global__ void __launch_bounds__(threads)
    judge_kernel(int cols, Rows logits, Rows reference, const std::int32_t* targets, RowVerdict* verdicts) {
  const std::int64_t row = blockIdx.x;
  wait_for_earlier_kernel();
  let_next_kernel_start();
  if (targets[row] < 0) {
    if (threadIdx.x == 0) verdicts[row] = {};
    return;
  }
  const float* q = reinterpret_cast<const float*>(logits.data) + row * logits.stride;
  const Summary of_q = summarise(q, cols);
  RowVerdict verdict{of_q.log_sum_exp, 0, q[targets[row]], of_q.largest.index, 0, of_q.non_finite};
  if (reference.data != nullptr) {
    const float* p = reinterpret_cast<const float*>(reference.data) + row * reference.stride;
    const Summary of_p = summarise(p, cols);
    // sum of p (log p - log q), where log p - log q = (p's logit - q's) - (p's log-sum-exp - q's).
    const double apart = of_p.log_sum_exp - of_q.log_sum_exp;
    double kl = 0;
    for (int c = static_cast<int>(threadIdx.x); c < cols; c += threads) {
      const float weight = expf(p[c] - of_p.largest.value);
      if (weight != 0)  // 0 ln 0 is 0, also where ln 0 is minus infinity
        kl += static_cast<double>(weight) * (static_cast<double>(p[c]) - static_cast<double>(q[c]) - apart);
    }
    verdict.kl = sum_over_block(kl) / of_p.sum;
    verdict.reference_argmax = of_p.largest.index;
  }
  if (threadIdx.x == 0) verdicts[row] = verdict;
}

__global__ void range_kernel(std::int64_t rows, std::int64_t cols, Rows x, unsigned* out) {
  wait_for_earlier_kernel();
  let_next_kernel_start();
  float largest = 0;
  unsigned bad = 0;
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < rows * cols; i += stride) {
    float value[1];
    load<1>(value, x, i / cols, i % cols);
    if (isfinite(value[0]))
      largest = fmaxf(largest, fabsf(value[0]));
    else
      ++bad;
  }
  // Bits of floats that are not negative are ordered as the floats are.
  atomicMax(&out[0], __float_as_uint(largest));
  if (bad > 0) atomicAdd(&out[1], bad);
}

}  // namespace

void judge_rows(CudaContext& context, const Matrix& logits, const Matrix* reference, const std::int32_t* targets,
                RowVerdict* verdicts) {
  if (logits.rows == 0) return;
  launch(context, "judging logits", {dim3(static_cast<unsigned>(logits.rows)), dim3(threads), 0}, judge_kernel,
         static_cast<int>(logits.cols), rows_of(logits),
         reference != nullptr ? rows_of(*reference) : Rows{nullptr, 0, DType::f32}, targets, verdicts);
}

void range_of_rows(CudaContext& context, const Matrix& x, unsigned* out) {
  const std::int64_t elements = x.rows * x.cols;
  if (elements == 0) return;
  const auto blocks = static_cast<unsigned>(std::min<std::int64_t>((elements + threads - 1) / threads, 1024));
  launch(context, "a range", {dim3(blocks), dim3(threads), 0}, range_kernel, x.rows, x.cols, rows_of(x), out);
}

}  // namespace eaq::kernel_cuda

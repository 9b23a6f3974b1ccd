// GELU for epilogues, where every instruction delays the tensor cores: good to a few millionths, which 16-bit results cannot
// show.
#pragma once

#include "eaq/kernel/cuda/ptx.cuh"

namespace eaq::kernel_cuda {

/// x P(X <= x) of a standard normal X, as max(x, 0) - |x| 2^p(|x|): 2^p is P(X > |x|). The polynomial is fitted on 0 .. 7, after
/// which 2^p is below 2e-12. Off by less than 1e-6, and down to -5 by less than 3e-4 of itself. Half of the work of erff.
__device__ inline float fast_gelu(float x) {
  const float a = fminf(fabsf(x), 7.0f);
  float p = 3.25736354e-05f;
  p = fmaf(p, a, -0.000750264102f);
  p = fmaf(p, a, 0.00795182745f);
  p = fmaf(p, a, -0.0530739445f);
  p = fmaf(p, a, -0.459148129f);
  p = fmaf(p, a, -1.15104426f);
  p = fmaf(p, a, -1.00000744f);
  return fmaf(-a, exp2_approximate(p), x < 0 ? 0.0f : x);  // a NaN stays
}

/// The tanh form: 0.5 x (1 + tanh(u)) is x / (1 + e^(-2u)).
__device__ inline float fast_gelu_tanh(float x) {
  const float minus_2u = -x * fmaf(x * x, 0.102943240f, 2.30220819f);  // as a power of two
  return x * reciprocal_approximate(1 + exp2_approximate(minus_2u));
}

/// The same by the card's own tanh, in half as many instructions: off by at most 2^-12 |x|, half a step of an f16 x.
__device__ inline float faster_gelu_tanh(float x) {
  const float half = 0.5f * x;
  return fmaf(half, tanh_approximate(x * fmaf(x * x, 0.0356774081f, 0.797884561f)), half);
}

}  // namespace eaq::kernel_cuda

// What the kernels for products of few rows share.
#pragma once

#include "eaq/kernel/cuda/elements.cuh"

namespace eaq::kernel_cuda {

struct FewRows {
  int rows, n, k;
  Rows x, w, y, bias, residual;
  Activation activation;
  NormVectors norm;  // of the input; without gamma: none
};

/// What a lane holds of a row that its warp has whole: eight elements from each of these places.
constexpr int most_held = 3;
constexpr int a_warp = most_held * 32 * 8;  ///< elements

/// The norm of such a row, by a warp alone; its vectors are read before there is a row. Place: from 0 .. most_held - 1 to a
/// column.
struct HeldNorm {
  Packed gamma[most_held], beta[most_held];

  template <class Place>
  __device__ void load(const FewRows& f, Place place) {
#pragma unroll
    for (int i = 0; i < most_held; ++i)
      if (place(i) < f.k)
        gamma[i] = load_packed(vector_of(f.norm.gamma), 0, place(i)), beta[i] = load_packed(vector_of(f.norm.beta), 0, place(i));
  }
  /// x is zeros beyond the row.
  template <class Place>
  __device__ void apply(float (&x)[most_held][8], const FewRows& f, Place place) const {
    float sum = 0, squares = 0;
#pragma unroll
    for (const auto& eight : x)
#pragma unroll
      for (const float value : eight) sum += value;
    const float mean = warp_sum(sum) / static_cast<float>(f.k);
#pragma unroll
    for (int i = 0; i < most_held; ++i)
      if (place(i) < f.k)
#pragma unroll
        for (const float value : x[i]) squares += (value - mean) * (value - mean);
    const float scale = rsqrtf(warp_sum(squares) / static_cast<float>(f.k) + f.norm.epsilon);
#pragma unroll
    for (int i = 0; i < most_held; ++i) {
      if (place(i) >= f.k) continue;
      float g[8], b[8];
      unpack(g, gamma[i], DType::f32);
      unpack(b, beta[i], DType::f32);
#pragma unroll
      for (int e = 0; e < 8; ++e) x[i][e] = (x[i][e] - mean) * scale * g[e] + b[e];
    }
  }
};

/// The product of one row, where a warp, or four that share outputs, can hold a row of it (one_row.cu).
bool fits_one_row(const FewRows& f);
void multiply_one_row(CudaContext& context, const FewRows& f);

}  // namespace eaq::kernel_cuda

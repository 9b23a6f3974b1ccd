// What the two kernels for products of few rows share.
#pragma once

#include "eaq/kernel/cuda/elements.cuh"

namespace eaq::kernel_cuda {

struct FewRows {
  int rows, n, k;
  Rows x, w, y, bias, residual;
  Activation activation;
  NormVectors norm;  // of the input; without gamma: none
};

/// The product of one row, where a warp, or four that share outputs, can hold a row of it (one_row.cu).
bool fits_one_row(const FewRows& f);
void multiply_one_row(CudaContext& context, const FewRows& f);

}  // namespace eaq::kernel_cuda

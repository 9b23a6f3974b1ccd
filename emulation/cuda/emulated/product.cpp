#include "emulated/product.h"

namespace emulated {

void accumulate(float* __restrict__ sums, const float* __restrict__ w, float x, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) sums[i] += x * w[i];
}

void multiply_16x8x16(float (&d)[16][8], const float (&a)[16][16], const float (&b)[16][8]) {
  for (int row = 0; row < 16; ++row)
    for (int k = 0; k < 16; ++k)
      for (int col = 0; col < 8; ++col) d[row][col] += a[row][k] * b[k][col];
}

}  // namespace emulated

// The loops that take most of the time, in a file that is compiled for speed and not sanitized: they touch their arguments alone.
#pragma once

#include <cstddef>

namespace emulated {

/// sums[i] += x * w[i]
void accumulate(float* sums, const float* w, float x, std::size_t n);

/// d += a b, each sum in f32 in the order of k.
void multiply_16x8x16(float (&d)[16][8], const float (&a)[16][16], const float (&b)[16][8]);

}  // namespace emulated

// A decoding step's product for q, k and v together with its attention.
#pragma once

#include "eaq/kernel/cuda.h"

namespace eaq::kernel_cuda {

inline constexpr std::int64_t most_row_attention_k = 768;  ///< what a warp's registers hold of a row of the weight

/// One row of one sequence with a cache, all of one 16-bit type, a head's elements a multiple of 8 up to 128.
bool fits_row_attention(const CudaContext& context, const GemmCall& product, const AttentionCall& attention);
void row_attention(CudaContext& context, const GemmCall& product, const AttentionCall& attention);

}  // namespace eaq::kernel_cuda

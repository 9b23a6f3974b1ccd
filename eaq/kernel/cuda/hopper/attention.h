// Attention by Hopper's own instructions.
#pragma once

#include "eaq/kernel/cuda.h"

namespace eaq::kernel_cuda {

/// Heads of 64 in 16 bits, on a card of that generation.
bool fits_hopper_attention(const CudaContext& context, const AttentionCall& call);
void attention_on_hopper(CudaContext& context, const AttentionCall& call);

}  // namespace eaq::kernel_cuda

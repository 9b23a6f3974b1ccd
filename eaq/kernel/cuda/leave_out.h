// Which tokens a draw leaves out (Sampling::leaves_out).
#pragma once

#include <cstdint>

#include "eaq/kernel/cuda.h"

namespace eaq::kernel_cuda {

/// Of a row of logits, in the card's memory; zeros before the first call.
struct LeftOut {
  static constexpr int digit_bits = 12;

  std::uint64_t lowest;  ///< the rank of the last token that may be drawn
  std::uint64_t known;   ///< its digits so far
  std::uint64_t left;    ///< what is wanted, less what the digits above these have
  unsigned largest;      ///< logit, as ranks have it
  unsigned arrived;      ///< blocks
  unsigned long long sums[1 << digit_bits];
};

/// Finds `lowest` of each row. Only submits.
void leave_out(const CudaContext& context, const Matrix& logits, const Sampling& how, LeftOut* rows);

}  // namespace eaq::kernel_cuda

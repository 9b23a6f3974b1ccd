// mixed_bf16: what autocast does. Weights stay in fp32; before each product, every time, weight and input are cast to bf16. The
// casts are the format's point: they are its cost.
//
// Layout of a stored weight: [out, in] little-endian floats, row-major, as fp32. Rounding of both operands: as bf16. Sums are
// f32. On a CPU: panels of f32, each cast into a thread's scratch once per product, then multiplied as in bf16. Source:
// Micikevicius et al., "Mixed Precision Training", ICLR 2018; torch.autocast.
#pragma once

#include "eaq/format/format.h"

namespace eaq::format_mixed_bf16 {

const ProductMaker& cpu_products();
const Format& entry();

}  // namespace eaq::format_mixed_bf16

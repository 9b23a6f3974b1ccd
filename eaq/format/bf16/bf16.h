// bf16: bfloat16, the upper half of a binary32 (8 exponent bits, 7 of mantissa): fp32's range at 2 to 3 decimal digits.
//
// Layout of a stored weight: [out, in] little-endian 16-bit words, row-major. Rounding: to nearest, ties to even; weights and the
// inputs of every product. Sums are f32.
// On a CPU: multiplied as bf16 where the processor does (AVX512-BF16, AMX; panels of group 2); elsewhere kept in 16 bits and
// widened in registers, the same numbers in f32 arithmetic (panels of group 1). Source: "BFLOAT16 - Hardware Numerics
// Definition", Intel, 2018.
#pragma once

#include "eaq/format/format.h"

namespace eaq::format_bf16 {

const ProductMaker& cpu_products();
const Format& entry();

}  // namespace eaq::format_bf16

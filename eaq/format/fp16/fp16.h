// fp16: IEEE 754 binary16 (5 exponent bits, 10 of mantissa): 3 decimal digits, from 6e-8 to 65504.
//
// Layout of a stored weight: [out, in] little-endian 16-bit words, row-major. Rounding: to nearest, ties to even; weights and the
// inputs of every product; what exceeds 65504 becomes infinite and shows. Sums are f32.
// On a CPU: kept in 16 bits, widened in registers (F16C) and multiplied in f32, panels of group 1. No processor that we build for
// multiplies binary16 faster than that with f32 sums.
// Source: IEEE 754-2019.
#pragma once

#include "eaq/format/format.h"

namespace eaq::format_fp16 {

const ProductMaker& cpu_products();
const Format& entry();

}  // namespace eaq::format_fp16

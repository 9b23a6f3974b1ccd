// fp32: IEEE 754 binary32, the format that the others are measured against.
//
// Layout of a stored weight: [out, in] little-endian floats, 4 bytes each, row-major. Packed on a CPU: PanelLayout, group 1.
// Rounding: none; weights stored in 64 bits are rounded to nearest even on reading, 16-bit ones are widened exactly.
// Source: IEEE 754-2019.
#pragma once

#include "eaq/format/format.h"

namespace eaq::format_fp32 {

const ProductMaker& cpu_products();
const Format& entry();

}  // namespace eaq::format_fp32

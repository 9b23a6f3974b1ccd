// int8: W8A8 dynamic. Weights are symmetric 8-bit integers with one step per output channel; inputs are quantised the same way,
// one step per token (row), when the product runs.
//
// Layout of a stored weight: [out, in] signed bytes from -127 to 127, row-major, then [out] little-endian float steps.
// Rounding: q = round to nearest even of v * (127 / max|v|); one step is worth max|v| / 127. A channel or token whose largest
// magnitude is below 1e-30 is zero, with step 0. One that holds a NaN or an infinity has step NaN, and so is every result that it
// takes part in: it must be seen.
// Products: exact sums in 32 bits, then sum * token's step * channel's step, in f32, + bias and so on. On a CPU by VNNI or AMX,
// and otherwise widened to 16 bits, which is as exact. Source: Dettmers et al., "LLM.int8()", 2022 (vector-wise quantisation,
// without its outlier columns).
#pragma once

#include "eaq/format/format.h"

namespace eaq::format_int8 {

const ProductMaker& cpu_products();
const Format& entry();

}  // namespace eaq::format_int8

// tf32: fp32 whose products see 10 bits of mantissa (and all 8 of the exponent): what tensor cores from Ampere on do with f32
// operands. Storage and traffic are those of fp32: only the multiplications are cheaper.
//
// Layout of a stored weight: as fp32. Rounding: of weights and inputs, when they are multiplied, to 10 bits of mantissa, to
// nearest (the hardware may cut off instead: the result is then within one step). Sums are f32. On a CPU: nothing multiplies so;
// fp32 costs the same there. Source: NVIDIA, "A100 Tensor Core GPU Architecture", 2020.
#pragma once

#include "eaq/format/format.h"

namespace eaq::format_tf32 {

const Format& entry();

}  // namespace eaq::format_tf32

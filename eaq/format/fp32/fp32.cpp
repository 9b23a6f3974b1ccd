#include "eaq/format/fp32/fp32.h"

#include "eaq/format/float_format.h"

namespace eaq::format_fp32 {

const Format& entry() {
  static const FloatFormat format({.name = "fp32",
                                   .summary = "32-bit floating point, the reference",
                                   .storage = "fp32",
                                   .bits_per_weight = 32,
                                   .activations = DType::f32,
                                   .everything = true},
                                  DType::f32);
  return format;
}

}  // namespace eaq::format_fp32

#include "eaq/format/mixed_fp16/mixed_fp16.h"

#include "eaq/format/float_format.h"

namespace eaq::format_mixed_fp16 {

const Format& entry() {
  static const FloatFormat format({.name = "mixed_fp16",
                                   .summary = "fp32 weights, cast to fp16 before each product (autocast)",
                                   .storage = "fp32",
                                   .bits_per_weight = 32,
                                   .activations = DType::f32,
                                   .everything = true},
                                  DType::f16);
  return format;
}

}  // namespace eaq::format_mixed_fp16

#include "eaq/format/mixed_bf16/mixed_bf16.h"

#include "eaq/format/float_format.h"

namespace eaq::format_mixed_bf16 {

const Format& entry() {
  static const FloatFormat format({.name = "mixed_bf16",
                                   .summary = "fp32 weights, cast to bf16 before each product (autocast)",
                                   .storage = "fp32",
                                   .bits_per_weight = 32,
                                   .activations = DType::f32,
                                   .everything = true},
                                  DType::bf16);
  return format;
}

}  // namespace eaq::format_mixed_bf16

#include "eaq/format/fp16/fp16.h"

#include "eaq/format/float_format.h"

namespace eaq::format_fp16 {

const Format& entry() {
  static const FloatFormat format({.name = "fp16",
                                   .summary = "16-bit floating point (IEEE binary16)",
                                   .storage = "fp16",
                                   .bits_per_weight = 16,
                                   .activations = DType::f16,
                                   .everything = true},
                                  DType::f16);
  return format;
}

}  // namespace eaq::format_fp16

#include "eaq/format/bf16/bf16.h"

#include "eaq/format/float_format.h"

namespace eaq::format_bf16 {

const Format& entry() {
  static const FloatFormat format({.name = "bf16",
                                   .summary = "16-bit floating point with the range of fp32",
                                   .storage = "bf16",
                                   .bits_per_weight = 16,
                                   .activations = DType::bf16,
                                   .everything = true},
                                  DType::bf16);
  return format;
}

}  // namespace eaq::format_bf16

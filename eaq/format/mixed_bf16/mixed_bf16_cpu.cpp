#include "eaq/format/mixed_bf16/mixed_bf16.h"
#include "eaq/format/packed_product.h"

namespace eaq::format_mixed_bf16 {

const ProductMaker& cpu_products() {
  static const PackedProducts products({.storage = DType::f32,
                                        .operands = DType::bf16,
                                        .storage_name = "fp32",
                                        .native = Arithmetic::bf16,
                                        .otherwise = {.level = SupportLevel::emulated,
                                                      .reason = "values are rounded to bf16 and multiplied in f32: this "
                                                                "processor does not multiply bf16 (AVX512-BF16 or AMX would)"}});
  return products;
}

}  // namespace eaq::format_mixed_bf16

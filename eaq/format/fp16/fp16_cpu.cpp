#include "eaq/format/fp16/fp16.h"
#include "eaq/format/packed_product.h"

namespace eaq::format_fp16 {

const ProductMaker& cpu_products() {
  static const PackedProducts products(
      {.storage = DType::f16,
       .operands = DType::f16,
       .storage_name = "fp16",
       .native = std::nullopt,
       .otherwise = {.level = SupportLevel::widened,
                     .reason = "fp16 is multiplied in f32 on a CPU, after widening in registers"}});
  return products;
}

}  // namespace eaq::format_fp16

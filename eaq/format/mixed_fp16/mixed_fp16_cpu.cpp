#include "eaq/format/mixed_fp16/mixed_fp16.h"
#include "eaq/format/packed_product.h"

namespace eaq::format_mixed_fp16 {

const ProductMaker& cpu_products() {
  static const PackedProducts products(
      {.storage = DType::f32,
       .operands = DType::f16,
       .storage_name = "fp32",
       .native = std::nullopt,
       .otherwise = {.level = SupportLevel::emulated,
                     .reason = "values are rounded to fp16 and multiplied in f32: this CPU path has no fp16 products"}});
  return products;
}

}  // namespace eaq::format_mixed_fp16

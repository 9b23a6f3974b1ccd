#include "eaq/format/bf16/bf16.h"
#include "eaq/format/packed_product.h"

namespace eaq::format_bf16 {

const ProductMaker& cpu_products() {
  static const PackedProducts products(
      {.storage = DType::bf16,
       .operands = DType::bf16,
       .storage_name = "bf16",
       .native = Arithmetic::bf16,
       .otherwise = {.level = SupportLevel::widened,
                     .reason = "this processor does not multiply bf16 (AVX512-BF16 or AMX would): f32 arithmetic"}});
  return products;
}

}  // namespace eaq::format_bf16

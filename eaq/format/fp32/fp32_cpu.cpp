#include "eaq/format/fp32/fp32.h"
#include "eaq/format/packed_product.h"

namespace eaq::format_fp32 {

const ProductMaker& cpu_products() {
  static const PackedProducts products(
      {.storage = DType::f32, .operands = DType::f32, .storage_name = "fp32", .native = Arithmetic::f32});
  return products;
}

}  // namespace eaq::format_fp32

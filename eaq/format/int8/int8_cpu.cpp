#include "eaq/format/int8/int8.h"
#include "eaq/format/packed_product.h"

namespace eaq::format_int8 {

const ProductMaker& cpu_products() {
  static const PackedProducts products(
      {.storage = DType::i8, .operands = DType::f32, .storage_name = "int8", .native = Arithmetic::s8});
  return products;
}

}  // namespace eaq::format_int8

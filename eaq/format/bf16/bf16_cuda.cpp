#include "eaq/format/bf16/bf16.h"
#include "eaq/format/dense_product_cuda.h"

namespace eaq::format_bf16 {

const ProductMaker& cuda_products() {
  static const DenseProducts products(
      {.storage = DType::bf16, .operands = DType::bf16, .storage_name = "bf16", .arithmetic_name = "bf16", .oldest = 80});
  return products;
}

}  // namespace eaq::format_bf16

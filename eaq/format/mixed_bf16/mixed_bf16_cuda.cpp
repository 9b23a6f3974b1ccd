#include "eaq/format/dense_product_cuda.h"
#include "eaq/format/mixed_bf16/mixed_bf16.h"

namespace eaq::format_mixed_bf16 {

const ProductMaker& cuda_products() {
  static const DenseProducts products(
      {.storage = DType::f32, .operands = DType::bf16, .storage_name = "fp32", .arithmetic_name = "bf16", .oldest = 80});
  return products;
}

}  // namespace eaq::format_mixed_bf16

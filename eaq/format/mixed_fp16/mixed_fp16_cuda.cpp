#include "eaq/format/dense_product_cuda.h"
#include "eaq/format/mixed_fp16/mixed_fp16.h"

namespace eaq::format_mixed_fp16 {

const ProductMaker& cuda_products() {
  static const DenseProducts products(
      {.storage = DType::f32, .operands = DType::f16, .storage_name = "fp32", .arithmetic_name = "f16", .oldest = 75});
  return products;
}

}  // namespace eaq::format_mixed_fp16

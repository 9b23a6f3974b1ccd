#include "eaq/format/dense_product_cuda.h"
#include "eaq/format/fp16/fp16.h"

namespace eaq::format_fp16 {

const ProductMaker& cuda_products() {
  static const DenseProducts products(
      {.storage = DType::f16, .operands = DType::f16, .storage_name = "fp16", .arithmetic_name = "f16", .oldest = 75});
  return products;
}

}  // namespace eaq::format_fp16

#include "eaq/format/dense_product_cuda.h"
#include "eaq/format/fp32/fp32.h"

namespace eaq::format_fp32 {

const ProductMaker& cuda_products() {
  static const DenseProducts products(
      {.storage = DType::f32, .operands = DType::f32, .storage_name = "fp32", .arithmetic_name = "f32"});
  return products;
}

}  // namespace eaq::format_fp32

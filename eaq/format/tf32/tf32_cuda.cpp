#include "eaq/format/dense_product_cuda.h"
#include "eaq/format/tf32/tf32.h"

namespace eaq::format_tf32 {

const ProductMaker& cuda_products() {
  static const DenseProducts products({.storage = DType::f32,
                                       .operands = DType::f32,
                                       .tf32 = true,
                                       .storage_name = "fp32",
                                       .arithmetic_name = "tf32",
                                       .oldest = 80});
  return products;
}

}  // namespace eaq::format_tf32

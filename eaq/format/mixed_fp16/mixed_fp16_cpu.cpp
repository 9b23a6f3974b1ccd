#include "eaq/format/mixed_fp16/mixed_fp16.h"
#include "eaq/format/packed_product.h"

namespace eaq::format_mixed_fp16 {
namespace {

class CpuProducts final : public ProductMaker {
 public:
  Support support(const ExecutionContext&) const override {
    return {.level = SupportLevel::emulated,
            .reason = "values are rounded to fp16 and multiplied in f32: this CPU path has no fp16 products"};
  }
  std::unique_ptr<Product> make(ExecutionContext& context, const LinearWeight& weight) const override {
    return make_packed_product(context, weight, {.storage = DType::f32, .arithmetic = Arithmetic::f32, .operands = DType::f16},
                               "fp32");
  }
};

}  // namespace

const ProductMaker& cpu_products() {
  static const CpuProducts products;
  return products;
}

}  // namespace eaq::format_mixed_fp16

#include "eaq/format/fp32/fp32.h"
#include "eaq/format/packed_product.h"

namespace eaq::format_fp32 {
namespace {

class CpuProducts final : public ProductMaker {
 public:
  Support support(const ExecutionContext&) const override { return {.level = SupportLevel::native, .reason = ""}; }
  std::unique_ptr<Product> make(ExecutionContext& context, const LinearWeight& weight) const override {
    return make_packed_product(context, weight, {.storage = DType::f32, .arithmetic = Arithmetic::f32, .operands = DType::f32},
                               "fp32");
  }
};

}  // namespace

const ProductMaker& cpu_products() {
  static const CpuProducts products;
  return products;
}

}  // namespace eaq::format_fp32

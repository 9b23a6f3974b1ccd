#include "eaq/format/mixed_bf16/mixed_bf16.h"
#include "eaq/format/packed_product.h"

namespace eaq::format_mixed_bf16 {
namespace {

class CpuProducts final : public ProductMaker {
 public:
  Support support(const ExecutionContext&) const override {
    if (multiplies(cpu_isa(), Arithmetic::bf16)) return {.level = SupportLevel::native, .reason = ""};
    return {
        .level = SupportLevel::emulated,
        .reason =
            "values are rounded to bf16 and multiplied in f32: this processor does not multiply bf16 (AVX512-BF16 or AMX would)"};
  }
  std::unique_ptr<Product> make(ExecutionContext& context, const LinearWeight& weight) const override {
    const Arithmetic arithmetic = multiplies(cpu_isa(), Arithmetic::bf16) ? Arithmetic::bf16 : Arithmetic::f32;
    return make_packed_product(context, weight, {.storage = DType::f32, .arithmetic = arithmetic, .operands = DType::bf16},
                               "fp32");
  }
};

}  // namespace

const ProductMaker& cpu_products() {
  static const CpuProducts products;
  return products;
}

}  // namespace eaq::format_mixed_bf16

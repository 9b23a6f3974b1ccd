// What the floating-point formats' products on a card have in common: weights lie in plain rows, and products go to Gemm.
#pragma once

#include "eaq/format/format.h"

namespace eaq {

/// What these formats differ by on a card: each folder holds its row.
struct DenseRow {
  DType storage = DType::f32;   ///< of the weight
  DType operands = DType::f32;  ///< what weight and input are converted to when they are multiplied; where `storage` differs, the
                                ///< weight anew in each product (autocast)
  bool tf32 = false;
  std::string_view storage_name;     ///< what reports call the elements ("bf16")
  std::string_view arithmetic_name;  ///< and the multiplication ("f32", "tf32", "f16", "bf16")
  int oldest = 0;                    ///< architecture with which such products begin: 80 is sm_80
};

class DenseProducts final : public ProductMaker {
 public:
  explicit DenseProducts(const DenseRow& row) : row_(row) {}
  Support support(const ExecutionContext& context) const override;
  std::unique_ptr<Product> make(ExecutionContext& context, const LinearWeight& weight) const override;
  bool folds_norms(const ExecutionContext& context) const override;

 private:
  DenseRow row_;
};

}  // namespace eaq

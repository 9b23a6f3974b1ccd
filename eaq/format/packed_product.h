// What the formats' products on a CPU have in common: a PackedWeight, filled from a checkpoint by all threads.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "eaq/format/format.h"

namespace eaq {

/// What packed formats differ by on a CPU: each folder holds its row.
struct PackedRow {
  DType storage = DType::f32;        ///< of the packed elements
  DType operands = DType::f32;       ///< as WeightPlan's
  std::string_view storage_name;     ///< what reports call the elements ("bf16")
  std::optional<Arithmetic> native;  ///< the format's own arithmetic; none: no CPU path has it
  Support otherwise;                 ///< where the processor does not multiply so, and f32 arithmetic stands in
};

/// Products whose weight lies packed as it is multiplied.
class PackedProducts final : public ProductMaker {
 public:
  explicit PackedProducts(const PackedRow& row) : row_(row) {}
  Support support(const ExecutionContext&) const override;
  std::unique_ptr<Product> make(ExecutionContext& context, const LinearWeight& weight) const override;

 private:
  bool is_native() const { return row_.native && multiplies(cpu_isa(), *row_.native); }

  PackedRow row_;
};

/// Calls `pack(first, count, rows)` for blocks of output rows, each a multiple of 64 but the last, on all threads; `rows` is
/// [count, in_features] in f32.
void pack_in_parallel(CpuContext& context, const LinearWeight& weight,
                      const std::function<void(std::int64_t first, std::int64_t count, float* rows)>& pack);

/// The context as this device's. Error{bug} for another device's.
CpuContext& cpu_context(ExecutionContext& context);

}  // namespace eaq

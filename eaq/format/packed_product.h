// What the formats' products on a CPU have in common: a PackedWeight, filled from a checkpoint by all threads.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "eaq/format/format.h"

namespace eaq {

/// How a format stores its weights and what it calls that in reports.
struct PackedProductTraits {
  std::string_view storage;  ///< KernelReport::storage
  DType dtype = DType::f32;  ///< of the packed elements
  Arithmetic arithmetic = Arithmetic::f32;
};

/// A product whose weight lies packed as it is multiplied.
std::unique_ptr<Product> make_packed_product(CpuContext& context, const LinearWeight& weight, const PackedProductTraits& traits);

/// Calls `pack(first, count, rows)` for blocks of output rows, each a multiple of 64 but the last, on all threads; `rows` is
/// [count, in_features] in f32.
void pack_in_parallel(CpuContext& context, const LinearWeight& weight,
                      const std::function<void(std::int64_t first, std::int64_t count, float* rows)>& pack);

/// The context as this device's. Error{bug} for another device's.
CpuContext& cpu_context(ExecutionContext& context);

}  // namespace eaq

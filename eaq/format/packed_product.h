// What the formats' products on a CPU have in common: a PackedWeight, filled from a checkpoint by all threads.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "eaq/format/format.h"

namespace eaq {

/// A product whose weight lies packed as it is multiplied.
/// `storage` is what reports call its elements ("bf16").
std::unique_ptr<Product> make_packed_product(ExecutionContext& context, const LinearWeight& weight, const WeightPlan& plan,
                                             std::string_view storage);

/// Calls `pack(first, count, rows)` for blocks of output rows, each a multiple of 64 but the last, on all threads; `rows` is
/// [count, in_features] in f32.
void pack_in_parallel(CpuContext& context, const LinearWeight& weight,
                      const std::function<void(std::int64_t first, std::int64_t count, float* rows)>& pack);

/// The context as this device's. Error{bug} for another device's.
CpuContext& cpu_context(ExecutionContext& context);

}  // namespace eaq

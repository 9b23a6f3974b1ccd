#include "eaq/format/float_format.h"

namespace eaq {
namespace {

template <class T>
void round_to(float* values, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) values[i] = static_cast<float>(T(values[i]));
}

}  // namespace

std::size_t FloatFormat::stored_bytes(std::int64_t out_features, std::int64_t in_features) const {
  return static_cast<std::size_t>(out_features * in_features) * (static_cast<std::size_t>(traits_.bits_per_weight) / 8);
}

void FloatFormat::round_weight(float* weight, std::int64_t out_features, std::int64_t in_features) const {
  if (rounded_to_ == DType::bf16) round_to<bf16>(weight, out_features * in_features);
  if (rounded_to_ == DType::f16) round_to<f16>(weight, out_features * in_features);
}

}  // namespace eaq

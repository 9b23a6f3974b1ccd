// What the floating-point formats have in common: they differ by a type, and each folder holds its row.
#pragma once

#include "eaq/format/format.h"

namespace eaq {

/// Weights and inputs of products are rounded to one floating-point type, and weights are kept in `traits().bits_per_weight` bits
/// without anything beside them.
class FloatFormat final : public Format {
 public:
  /// `rounded_to`: f32 (no rounding), bf16 or f16.
  FloatFormat(const FormatTraits& traits, DType rounded_to) : traits_(traits), rounded_to_(rounded_to) {}

  const FormatTraits& traits() const override { return traits_; }
  std::size_t stored_bytes(std::int64_t out_features, std::int64_t in_features) const override;
  void round_weight(float* weight, std::int64_t out_features, std::int64_t in_features) const override;
  void round_input(float* row, std::int64_t n) const override { round_weight(row, 1, n); }

 private:
  FormatTraits traits_;
  DType rounded_to_;
};

}  // namespace eaq

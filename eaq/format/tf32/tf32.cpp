#include "eaq/format/tf32/tf32.h"

#include <bit>
#include <cmath>

namespace eaq::format_tf32 {
namespace {

// To 10 bits of mantissa, ties to even; NaN and infinities stay.
float rounded(float x) {
  if (!std::isfinite(x)) return x;
  const auto bits = std::bit_cast<std::uint32_t>(x);
  return std::bit_cast<float>((bits + 0xfff + (bits >> 13 & 1)) & ~std::uint32_t{0x1fff});
}

class Tf32 final : public Format {
 public:
  const FormatTraits& traits() const override {
    static constexpr FormatTraits traits{.name = "tf32",
                                         .summary = "fp32 storage, products of 10-bit mantissas (NVIDIA tensor cores)",
                                         .storage = "fp32",
                                         .bits_per_weight = 32,
                                         .activations = DType::f32,
                                         .everything = true};
    return traits;
  }
  std::size_t stored_bytes(std::int64_t out_features, std::int64_t in_features) const override {
    return static_cast<std::size_t>(out_features * in_features) * sizeof(float);
  }
  void round_weight(float* weight, std::int64_t out_features, std::int64_t in_features) const override {
    round_input(weight, out_features * in_features);
  }
  void round_input(float* row, std::int64_t n) const override {
    for (std::int64_t i = 0; i < n; ++i) row[i] = rounded(row[i]);
  }
};

}  // namespace

const Format& entry() {
  static const Tf32 format;
  return format;
}

}  // namespace eaq::format_tf32

#include "eaq/format/mixed_fp16/mixed_fp16.h"

namespace eaq::format_mixed_fp16 {
namespace {

class MixedFp16 final : public Format {
 public:
  const FormatTraits& traits() const override {
    static constexpr FormatTraits traits{.name = "mixed_fp16",
                                         .summary = "fp32 weights, cast to fp16 before each product (autocast)",
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
    for (std::int64_t i = 0; i < out_features * in_features; ++i) weight[i] = static_cast<float>(f16(weight[i]));
  }
  void round_input(float* row, std::int64_t n) const override { round_weight(row, 1, n); }
  const ProductMaker* on(std::string_view device) const override { return device == "cpu" ? &cpu_products() : nullptr; }
};

}  // namespace

const Format& entry() {
  static const MixedFp16 format;
  return format;
}

}  // namespace eaq::format_mixed_fp16

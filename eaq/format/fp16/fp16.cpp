#include "eaq/format/fp16/fp16.h"

namespace eaq::format_fp16 {
namespace {

class Fp16 final : public Format {
 public:
  const FormatTraits& traits() const override {
    static constexpr FormatTraits traits{.name = "fp16",
                                         .summary = "16-bit floating point (IEEE binary16)",
                                         .storage = "fp16",
                                         .bits_per_weight = 16,
                                         .activations = DType::f16,
                                         .everything = true};
    return traits;
  }
  std::size_t stored_bytes(std::int64_t out_features, std::int64_t in_features) const override {
    return static_cast<std::size_t>(out_features * in_features) * 2;
  }
  void round_weight(float* weight, std::int64_t out_features, std::int64_t in_features) const override {
    for (std::int64_t i = 0; i < out_features * in_features; ++i) weight[i] = static_cast<float>(f16(weight[i]));
  }
  void round_input(float* row, std::int64_t n) const override { round_weight(row, 1, n); }
  const ProductMaker* on(std::string_view device) const override { return device == "cpu" ? &cpu_products() : nullptr; }
};

}  // namespace

const Format& entry() {
  static const Fp16 format;
  return format;
}

}  // namespace eaq::format_fp16

#include "eaq/format/fp32/fp32.h"

namespace eaq::format_fp32 {
namespace {

class Fp32 final : public Format {
 public:
  const FormatTraits& traits() const override {
    static constexpr FormatTraits traits{.name = "fp32",
                                         .summary = "32-bit floating point, the reference",
                                         .storage = "fp32",
                                         .bits_per_weight = 32,
                                         .activations = DType::f32,
                                         .everything = true};
    return traits;
  }
  std::size_t stored_bytes(std::int64_t out_features, std::int64_t in_features) const override {
    return static_cast<std::size_t>(out_features * in_features) * sizeof(float);
  }
  void round_weight(float*, std::int64_t, std::int64_t) const override {}
  void round_input(float*, std::int64_t) const override {}
  const ProductMaker* on(std::string_view device) const override { return device == "cpu" ? &cpu_products() : nullptr; }
};

}  // namespace

const Format& entry() {
  static const Fp32 format;
  return format;
}

}  // namespace eaq::format_fp32

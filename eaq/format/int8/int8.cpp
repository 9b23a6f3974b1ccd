#include "eaq/format/int8/int8.h"

namespace eaq::format_int8 {
namespace {

class Int8 final : public Format {
 public:
  const FormatTraits& traits() const override {
    static constexpr FormatTraits traits{
        .name = "int8",
        .summary = "8-bit integers: weights per channel, inputs per token when they arrive (W8A8 dynamic)",
        .storage = "int8",
        .bits_per_weight = 8.04,
        .activations = DType::f32,
        .everything = false};
    return traits;
  }
  std::size_t stored_bytes(std::int64_t out_features, std::int64_t in_features) const override {
    return static_cast<std::size_t>(out_features * in_features) + static_cast<std::size_t>(out_features) * sizeof(float);
  }
  void round_weight(float* weight, std::int64_t out_features, std::int64_t in_features) const override {
    for (std::int64_t r = 0; r < out_features; ++r) round_input(weight + r * in_features, in_features);
  }
  void round_input(float* row, std::int64_t n) const override {
    std::vector<std::int8_t> q(static_cast<std::size_t>(n));
    const float step = quantise_row(row, n, q.data());
    for (std::int64_t i = 0; i < n; ++i) row[i] = static_cast<float>(q[static_cast<std::size_t>(i)]) * step;
  }
};

}  // namespace

const Format& entry() {
  static const Int8 format;
  return format;
}

}  // namespace eaq::format_int8

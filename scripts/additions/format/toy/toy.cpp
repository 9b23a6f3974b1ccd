#include "eaq/format/toy/toy.h"

#include "eaq/format/format.h"

namespace eaq::format_toy {
namespace {

class Toy : public Format {
 public:
  const FormatTraits& traits() const override { return traits_; }
  std::size_t stored_bytes(std::int64_t out_features, std::int64_t in_features) const override {
    return static_cast<std::size_t>(out_features * in_features) * 2;
  }
  void round_weight(float* weight, std::int64_t out_features, std::int64_t in_features) const override {
    for (std::int64_t i = 0; i < out_features * in_features; ++i) weight[i] = decode(encode(weight[i]));
  }
  void round_input(float*, std::int64_t) const override {}

 private:
  FormatTraits traits_{
      .name = "toy", .summary = "fp32 cut off after 16 bits (an example)", .storage = "toy", .bits_per_weight = 16};
};

}  // namespace

const Format& entry() {
  static const Toy toy;
  return toy;
}

}  // namespace eaq::format_toy

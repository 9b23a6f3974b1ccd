#include <gtest/gtest.h>

#include <cmath>

#include "eaq/backend/testing.h"

namespace eaq {
namespace {

// Values that no format holds exactly.
std::vector<float> values(std::int64_t count, std::uint64_t seed) {
  std::vector<float> all(static_cast<std::size_t>(count));
  std::uint64_t state = seed;
  for (float& x : all) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    x = static_cast<float>(static_cast<double>(state >> 11) / 9007199254740992.0 * 2 - 1);
  }
  return all;
}

TEST(EmulatedProduct, MultipliesWhatTheFormatMakesOfWeightAndInputOnEveryDevice) {
  constexpr std::int64_t rows = 5, in = 40, out = 24;
  const std::vector<float> w = values(out * in, 1), x = values(rows * in, 2);
  for (const auto& row : backends()) {
    if (row.entry == nullptr || !row.entry->unavailable_reason().empty()) continue;
    const Backend& backend = *row.entry;
    const auto context = backend.make_context({.threads = 2});
    for (const auto& format_row : formats()) {
      const Format& format = *format_row.entry;
      LinearWeight weight;
      weight.parts.push_back({DType::f32, {out, in}, reinterpret_cast<const std::byte*>(w.data())});
      weight.out_features = out, weight.in_features = in;
      const auto product = make_emulated_product(backend, format, *context, weight);

      std::vector<float> rounded_w = w, rounded_x = x, y(rows * out);
      format.round_weight(rounded_w.data(), out, in);
      for (std::int64_t r = 0; r < rows; ++r) format.round_input(rounded_x.data() + r * in, in);
      DeviceMemory on_x = context->allocate(x.size() * sizeof(float), "x"),
                   on_y = context->allocate(y.size() * sizeof(float), "y");
      context->upload(on_x.data(), std::as_bytes(std::span(x)));
      product->run(*context, {DType::f32, on_x.data(), rows, in, in}, {DType::f32, on_y.data(), rows, out, out}, {});
      context->download(std::as_writable_bytes(std::span(y)), on_y.data());
      for (std::int64_t r = 0; r < rows; ++r)
        for (std::int64_t c = 0; c < out; ++c) {
          double sum = 0;
          for (std::int64_t k = 0; k < in; ++k)
            sum += static_cast<double>(rounded_x[static_cast<std::size_t>(r * in + k)]) *
                   rounded_w[static_cast<std::size_t>(c * in + k)];
          EXPECT_NEAR(y[static_cast<std::size_t>(r * out + c)], sum, 1e-4) << backend.device() << " " << format.traits().name;
        }
      EXPECT_TRUE(product->report().emulated);
    }
  }
}

}  // namespace
}  // namespace eaq

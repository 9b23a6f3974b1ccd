// What tests of Hopper's kernels share: the card, and random values in its memory.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include "eaq/kernel/cuda.h"

namespace eaq::testing_hopper {

using kernel_cuda::CudaContext;

// The card, or why there is none of these.
inline std::unique_ptr<CudaContext> hopper_card(std::string& reason) {
  try {
    auto card = std::make_unique<CudaContext>();
    if (card->architecture() == 90) return card;
    reason = "the card is " + card->description().isa + ", not sm_90";
  } catch (const Error& error) {
    reason = error.what();
  }
  return nullptr;
}

// A test that wants one: the context in `card`.
#define ON_A_HOPPER_CARD(card)                                                                                   \
  std::string reason;                                                                                            \
  const std::unique_ptr<CudaContext> card = hopper_card(reason);                                                 \
  if (card == nullptr) {                                                                                         \
    const char* required = std::getenv("EAQ_REQUIRE_GPU");                                                       \
    if (required != nullptr && std::string_view(required) == "1") FAIL() << "EAQ_REQUIRE_GPU=1, and " << reason; \
    GTEST_SKIP() << reason;                                                                                      \
  }                                                                                                              \
  static_assert(true)

// Random values of a type in the card's memory, rows apart by a stride.
template <class T>
class Values {
 public:
  Values(CudaContext& context, std::int64_t rows, std::int64_t cols, std::int64_t stride, float scale, unsigned seed)
      : host(static_cast<std::size_t>(rows * stride)), memory(context.allocate(host.size() * sizeof(T), "values of a test")) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0, scale);
    for (T& value : host) value = T(normal(random));
    context.upload(memory.data(), std::as_bytes(std::span(host)));
    matrix = {dtype_of<T>(), memory.data(), rows, cols, stride};
  }
  float at(std::int64_t row, std::int64_t col) const {
    return static_cast<float>(host[static_cast<std::size_t>(row * matrix.stride + col)]);
  }

  std::vector<T> host;
  DeviceMemory memory;
  Matrix matrix;
};

}  // namespace eaq::testing_hopper

// Products on the emulated card.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "eaq/kernel/cuda.h"
#include "emulated/emulated.h"

namespace {

using namespace eaq;
using kernel_cuda::CudaContext;
using kernel_cuda::GemmCall;

constexpr std::int64_t m = 5, n = 7, k = 33;

template <class T>
class Operands {
 public:
  Operands(CudaContext& context, DType dtype, std::int64_t stride)
      : x_(context.allocate(static_cast<std::size_t>(m * stride) * sizeof(T), "x")),
        w_(context.allocate(static_cast<std::size_t>(n * stride) * sizeof(T), "w")),
        y_(context.allocate(static_cast<std::size_t>(m * 8) * sizeof(T), "y")),
        bias_(context.allocate(static_cast<std::size_t>(n) * sizeof(T), "bias")) {
    call_.x = {dtype, x_.data(), m, k, stride};
    call_.w = {dtype, w_.data(), n, k, stride};
    call_.y = {dtype, y_.data(), m, n, 8};
    std::mt19937 random(3);
    std::normal_distribution<float> normal;
    for (const DeviceMemory* memory : {&x_, &w_, &y_, &bias_}) {
      auto* elements = reinterpret_cast<T*>(memory->data());  // an emulated card's memory can be looked into
      for (std::size_t i = 0; i < memory->size() / sizeof(T); ++i) elements[i] = T(normal(random));
    }
    before_.assign(at(call_.y, 0, 0), at(call_.y, 0, 0) + m * 8);
  }

  const T* at(const Matrix& matrix, std::int64_t row, std::int64_t col) const {
    return reinterpret_cast<const T*>(matrix.row(row)) + col;
  }
  double sum(std::int64_t row, std::int64_t col) const {
    double sum = 0;
    for (std::int64_t i = 0; i < k; ++i)
      sum += static_cast<double>(static_cast<float>(*at(call_.x, row, i))) * static_cast<float>(*at(call_.w, col, i));
    return sum;
  }
  float bias(std::int64_t col) const { return reinterpret_cast<const T*>(bias_.data())[col]; }

  /// Every element of y against what `of` makes of the exact sum, its column's bias and what stood there before.
  template <class Function>
  void expect(Function of) const {
    const double step = sizeof(T) == 4 ? 0x1p-18 : 0x1p-8;
    for (std::int64_t row = 0; row < m; ++row) {
      for (std::int64_t col = 0; col < n; ++col) {
        const double expected =
            of(sum(row, col), bias(col), static_cast<float>(before_[static_cast<std::size_t>(row * 8 + col)]));
        ASSERT_NEAR(static_cast<float>(*at(call_.y, row, col)), expected, step * std::abs(expected) + step / 8)
            << row << ' ' << col;
      }
      ASSERT_EQ(static_cast<float>(*at(call_.y, row, n)), static_cast<float>(before_[static_cast<std::size_t>(row * 8 + n)]));
    }
  }

  DeviceMemory x_, w_, y_, bias_;
  GemmCall call_;
  std::vector<T> before_;
};

template <class T>
void expect_products(DType dtype) {
  CudaContext context;
  for (const std::int64_t stride : {std::int64_t{40}, k}) {
    Operands<T> plain(context, dtype, stride);
    kernel_cuda::multiply(context, plain.call_);
    plain.expect([](double sum, float, float) { return sum; });

    Operands<T> added(context, dtype, stride);
    const Matrix residual = added.call_.y;
    added.call_.bias = added.bias_.data();
    added.call_.residual = &residual;
    kernel_cuda::multiply(context, added.call_);
    added.expect([](double sum, float bias, float before) { return sum + bias + before; });

    Operands<T> activated(context, dtype, stride);
    activated.call_.bias = activated.bias_.data();
    activated.call_.activation = Activation::gelu_tanh;
    kernel_cuda::multiply(context, activated.call_);
    activated.expect([](double sum, float bias, float) {
      const double v = sum + bias;
      return 0.5 * v * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)));
    });
  }
}

TEST(EmulatedGemm, SinglesAreMultiplied) { expect_products<float>(DType::f32); }
TEST(EmulatedGemm, HalvesAreMultiplied) { expect_products<__half>(DType::f16); }
TEST(EmulatedGemm, Bfloat16sAreMultiplied) { expect_products<__nv_bfloat16>(DType::bf16); }

TEST(EmulatedGemm, Tf32KeepsTenBits) {
  CudaContext context;
  Operands<float> o(context, DType::f32, k);
  auto* x = reinterpret_cast<float*>(o.x_.data());
  auto* w = reinterpret_cast<float*>(o.w_.data());
  for (std::int64_t i = 0; i < k; ++i) x[i] = 0, w[i] = 0;
  x[0] = 1 + 0x1p-10f + 0x1p-12f;
  w[0] = 1;
  o.call_.tf32 = true;
  EXPECT_EQ(kernel_cuda::multiply(context, o.call_).find("emulated tf32"), 0u);
  EXPECT_EQ(*o.at(o.call_.y, 0, 0), 1 + 0x1p-10f);
}

TEST(EmulatedGemm, AProductIsRecordedOnceItsShapeIsKnown) {
  CudaContext context;
  Operands<float> o(context, DType::f32, k);
  const auto record = [&] {
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamBeginCapture(context.stream(), cudaStreamCaptureModeThreadLocal), cudaSuccess);
    try {
      kernel_cuda::multiply(context, o.call_);
    } catch (const Error&) {
      EXPECT_EQ(cudaStreamEndCapture(context.stream(), &graph), cudaErrorStreamCaptureInvalidated);
      throw;
    }
    EXPECT_EQ(cudaStreamEndCapture(context.stream(), &graph), cudaSuccess);
    return graph;
  };
  EXPECT_THROW(record(), Error);
  kernel_cuda::multiply(context, o.call_);
  std::fill_n(reinterpret_cast<float*>(o.y_.data()), m * 8, -1.0f);
  const cudaGraph_t graph = record();
  EXPECT_EQ(*o.at(o.call_.y, 0, 0), -1);
  cudaGraphExec_t exec = nullptr;
  ASSERT_EQ(cudaGraphInstantiate(&exec, graph), cudaSuccess);
  EXPECT_EQ(cudaGraphLaunch(exec, context.stream()), cudaSuccess);
  EXPECT_NEAR(*o.at(o.call_.y, 4, 6), o.sum(4, 6), 1e-4);
  EXPECT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
}

TEST(EmulatedGemm, OperandsOnTheHostAreRefused) {
  CudaContext context;
  Operands<float> o(context, DType::f32, k);
  std::vector<float> host(static_cast<std::size_t>(m * k));
  o.call_.x.data = reinterpret_cast<std::byte*>(host.data());
  EXPECT_THROW(kernel_cuda::multiply(context, o.call_), Error);
}

}  // namespace

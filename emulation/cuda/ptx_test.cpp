// The card's matrix instructions against a plain product.
#include "eaq/kernel/cuda/ptx.cuh"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "testing.h"

namespace {

using namespace eaq::kernel_cuda;
using emulated::launch;

template <class T>
struct Operands {
  std::vector<T> a = std::vector<T>(16 * 16), b = std::vector<T>(16 * 8), b_transposed = std::vector<T>(8 * 16);
  std::vector<float> c = std::vector<float>(16 * 8), expected = std::vector<float>(16 * 8), got = std::vector<float>(16 * 8, -1);

  Operands() {
    std::mt19937 random(7);
    std::normal_distribution<float> normal;
    for (T& x : a) x = T(normal(random));
    for (T& x : b) x = T(normal(random));
    for (float& x : c) x = normal(random);
    for (std::size_t k = 0; k < 16; ++k)
      for (std::size_t n = 0; n < 8; ++n) b_transposed[n * 16 + k] = b[k * 8 + n];
    for (std::size_t m = 0; m < 16; ++m) {
      for (std::size_t n = 0; n < 8; ++n) {
        float sum = c[m * 8 + n];
        for (std::size_t k = 0; k < 16; ++k) sum += static_cast<float>(a[m * 16 + k]) * static_cast<float>(b[k * 8 + n]);
        expected[m * 8 + n] = sum;
      }
    }
  }
};

template <class T>
__device__ std::uint32_t pair(T low, T high) {
  return std::uint32_t{std::bit_cast<std::uint16_t>(high)} << 16 | std::bit_cast<std::uint16_t>(low);
}

// The fragments by hand, as PTX's tables have them.
template <class T>
__global__ void multiply_by_hand(const T* a, const T* b, const float* c, float* out) {
  const unsigned group = threadIdx.x / 4, place = threadIdx.x % 4;
  const auto a_at = [&](unsigned row, unsigned col) { return pair(a[row * 16 + col], a[row * 16 + col + 1]); };
  const auto b_at = [&](unsigned k) { return pair(b[k * 8 + group], b[(k + 1) * 8 + group]); };
  const std::uint32_t fragment_a[4] = {a_at(group, place * 2), a_at(group + 8, place * 2), a_at(group, place * 2 + 8),
                                       a_at(group + 8, place * 2 + 8)};
  const std::uint32_t fragment_b[2] = {b_at(place * 2), b_at(place * 2 + 8)};
  float d[4];
  for (unsigned i = 0; i < 4; ++i) d[i] = c[(group + i / 2 * 8) * 8 + place * 2 + i % 2];
  mma_16x8x16<T>(d, fragment_a, fragment_b);
  for (unsigned i = 0; i < 4; ++i) out[(group + i / 2 * 8) * 8 + place * 2 + i % 2] = d[i];
}

// As a kernel does it: through shared memory, by asynchronous copies and ldmatrix. B comes as [k, n] (transposed as it is
// loaded) or as [n, k].
template <class T, bool transpose_b>
__global__ void multiply_staged(const T* a, const T* b, const float* c, float* out) {
  T* staged_a = reinterpret_cast<T*>(dynamic_shared());
  T* staged_b = staged_a + 16 * 16;
  const unsigned lane = threadIdx.x;
  copy_async_16(staged_a + lane * 8, a + lane * 8, true);
  if (lane < 16) copy_async_16(staged_b + lane * 8, b + lane * 8, true);
  copy_async_commit();
  copy_async_wait<0>();
  __syncwarp();

  std::uint32_t fragment_a[4], fragment_b[4];
  load_matrices(fragment_a, staged_a + (lane % 16) * 16 + lane / 16 * 8);
  if constexpr (transpose_b)
    load_matrices_transposed(fragment_b, staged_b + (lane % 16) * 8);
  else
    load_matrices(fragment_b, staged_b + lane % 8 * 16 + lane / 8 % 2 * 8);
  float d[4];
  const unsigned group = lane / 4, place = lane % 4;
  for (unsigned i = 0; i < 4; ++i) d[i] = c[(group + i / 2 * 8) * 8 + place * 2 + i % 2];
  mma_16x8x16<T>(d, fragment_a, {fragment_b[0], fragment_b[1]});
  for (unsigned i = 0; i < 4; ++i) out[(group + i / 2 * 8) * 8 + place * 2 + i % 2] = d[i];
}

template <class T>
void expect_products() {
  Operands<T> o;
  ASSERT_EQ(launch(multiply_by_hand<T>, 1, 32, o.a.data(), o.b.data(), o.c.data(), o.got.data()), cudaSuccess);
  EXPECT_EQ(o.got, o.expected);
  cudaLaunchConfig_t config{};
  config.blockDim = 32;
  config.dynamicSmemBytes = (16 * 16 + 16 * 8) * sizeof(T);
  ASSERT_EQ(cudaLaunchKernelEx(&config, multiply_staged<T, true>, o.a.data(), o.b.data(), o.c.data(), o.got.data()), cudaSuccess);
  EXPECT_EQ(o.got, o.expected);
  o.got.assign(o.got.size(), -1);
  ASSERT_EQ(cudaLaunchKernelEx(&config, multiply_staged<T, false>, o.a.data(), o.b_transposed.data(), o.c.data(), o.got.data()),
            cudaSuccess);
  EXPECT_EQ(o.got, o.expected);
}

TEST(Mma, HalfIsThePlainProduct) { expect_products<__half>(); }
TEST(Mma, Bfloat16IsThePlainProduct) { expect_products<__nv_bfloat16>(); }

__global__ void stage_too_early(const float* in, float* out) {
  __shared__ __align__(16) float early[4], late[4], zeros[4];
  copy_async_16(early, in, true);
  copy_async_commit();
  copy_async_16(late, in, true);
  copy_async_16(zeros, nullptr, false);
  copy_async_commit();
  copy_async_wait<1>();
  out[0] = early[1];
  out[1] = late[1];
  copy_async_wait<0>();
  out[2] = late[1];
  out[3] = zeros[1];
}

TEST(CopyAsync, WhatIsReadBeforeItsWaitIsNaN) {
  alignas(16) const float in[4] = {1, 2, 3, 4};
  float out[4] = {};
  ASSERT_EQ(launch(stage_too_early, 1, 1, &in[0], &out[0]), cudaSuccess);
  EXPECT_EQ(out[0], 2);
  EXPECT_TRUE(std::isnan(out[1]));
  EXPECT_EQ(out[2], 2);
  EXPECT_EQ(out[3], 0);
}

__global__ void stage_askew(const float* in) {
  __shared__ __align__(16) float staged[8];
  copy_async_16(staged + 1, in, true);
}

__global__ void wait_or_not(bool wait) {
  if (wait && threadIdx.x == 0) wait_for_earlier_kernel();
  let_next_kernel_start();
}

TEST(PtxDeathTest, AKernelThatBeginsEarlyMustWait) {
  cudaLaunchAttribute early{cudaLaunchAttributeProgrammaticStreamSerialization, {}};
  early.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.attrs = &early;
  config.numAttrs = 1;
  EXPECT_EQ(cudaLaunchKernelEx(&config, wait_or_not, true), cudaSuccess);
  EXPECT_DEATH(cudaLaunchKernelEx(&config, wait_or_not, false), "did not wait for the earlier one in block .0, 0, 0");
  config.numAttrs = 0;
  EXPECT_EQ(cudaLaunchKernelEx(&config, wait_or_not, false), cudaSuccess);
}

__global__ void multiply_with_half_a_warp(int) {
  float d[4] = {};
  mma_16x8x16<__half>(d, {0, 0, 0, 0}, {0, 0});
}

TEST(PtxDeathTest, AMisalignedCopyAndAPartialWarpAreTold) {
  alignas(16) const float in[4] = {1, 2, 3, 4};
  EXPECT_DEATH(launch(stage_askew, 1, 1, &in[0]), "not aligned");
  EXPECT_DEATH(launch(multiply_with_half_a_warp, 1, 16, 0), "mma in a warp of which lanes are missing");
}

}  // namespace

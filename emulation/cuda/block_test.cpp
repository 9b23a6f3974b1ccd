// Threads of a block: what they share, how they wait, and what happens to those that never come.
#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "testing.h"

namespace {

using emulated::launch;

__global__ void number_threads(unsigned* out) {
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  out[block * blockDim.x * blockDim.y * blockDim.z + thread] += block * 1000 + thread;
}

TEST(Block, EveryThreadOfEveryBlockRunsOnce) {
  std::vector<unsigned> out(24 * 60, 0);
  ASSERT_EQ(launch(number_threads, {2, 3, 4}, {3, 4, 5}, out.data()), cudaSuccess);
  for (unsigned i = 0; i < out.size(); ++i) EXPECT_EQ(out[i], i / 60 * 1000 + i % 60);
}

__global__ void __launch_bounds__(1024) sum_block(const float* in, int count, float* out) {
  __shared__ float parts[32];
  float sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x)) sum += in[i];
  for (int by = warpSize / 2; by > 0; by /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, by);
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x >= 32) return;  // the others end here, and nobody waits for them
  sum = threadIdx.x < blockDim.x / 32 ? parts[threadIdx.x] : 0;
  for (unsigned by = 16; by > 0; by /= 2) sum += __shfl_down_sync(0xffffffffu, sum, by);
  __syncthreads();
  if (threadIdx.x == 0) *out = sum;
}

TEST(Block, ReducesThroughShufflesAndSharedMemory) {
  std::vector<float> in(777);
  std::iota(in.begin(), in.end(), 1.0f);
  for (const unsigned threads : {32u, 64u, 256u, 1024u}) {
    float out = 0;
    ASSERT_EQ(launch(sum_block, 1, threads, in.data(), 777, &out), cudaSuccess);
    EXPECT_EQ(out, 777 * 778 / 2) << threads;
  }
}

__global__ void rotate(float* values, int rounds) {
  __shared__ float shared[100];
  const unsigned i = threadIdx.x;
  float mine = values[i];
  for (int round = 0; round < rounds; ++round) {
    shared[i] = mine;
    __syncthreads();
    mine = shared[(i + 1) % blockDim.x];
    __syncthreads();
  }
  values[i] = mine;
}

TEST(Block, BarriersKeepRoundsApart) {
  std::vector<float> values(100);
  std::iota(values.begin(), values.end(), 0.0f);
  ASSERT_EQ(launch(rotate, 1, 100, values.data(), 37), cudaSuccess);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(values[static_cast<std::size_t>(i)], (i + 37) % 100);
}

__global__ void pass_on_without_barrier(int* wrong) {
  __shared__ unsigned shared[128];
  shared[threadIdx.x] = 1000 + threadIdx.x;
  const unsigned next = (threadIdx.x + 1) % 128, before = (threadIdx.x + 127) % 128;
  if (shared[next] != 1000 + next) atomicAdd(wrong, 1);
  if (shared[before] != 1000 + before) atomicAdd(wrong + 1, 1);
  shared[threadIdx.x] = 0;
}

TEST(Block, AMissingBarrierShowsInBothDirections) {
  int wrong[2] = {0, 0};
  ASSERT_EQ(launch(pass_on_without_barrier, 8, 128, &wrong[0]), cudaSuccess);
  EXPECT_GT(wrong[0], 8);
  EXPECT_GT(wrong[1], 8);
}

__global__ void leave_raggedly(int* last) {
  for (unsigned round = 0; round < threadIdx.x; ++round) __syncthreads();
  *last = static_cast<int>(threadIdx.x);
}

TEST(Block, ThreadsThatReturnedAreNotWaitedFor) {
  int last = -1;
  ASSERT_EQ(launch(leave_raggedly, 1, 70, &last), cudaSuccess);
  EXPECT_EQ(last, 69);
}

__global__ void sum_of_living(unsigned* out) {
  if (threadIdx.x % 2 == 1) return;
  const unsigned ballot = __ballot_sync(0xffffffffu, threadIdx.x % 4 == 0);
  if (threadIdx.x == 0) *out = ballot;
}

TEST(Warp, LanesThatReturnedAreNotWaitedFor) {
  unsigned out = 0;
  ASSERT_EQ(launch(sum_of_living, 1, 32, &out), cudaSuccess);
  EXPECT_EQ(out, 0x11111111u);
  ASSERT_EQ(launch(sum_of_living, 1, 10, &out), cudaSuccess);
  EXPECT_EQ(out, 0x111u);
}

template <class T>
__global__ void shuffle_all_ways(T* out) {
  const T mine = static_cast<T>(threadIdx.x);
  out[threadIdx.x] = __shfl_sync(0xffffffffu, mine, 9, 8);
  out[32 + threadIdx.x] = __shfl_xor_sync(0xffffffffu, mine, 3, 16);
  out[64 + threadIdx.x] = __shfl_down_sync(0xffffffffu, mine, 3, 8);
  out[96 + threadIdx.x] = __shfl_up_sync(0xffffffffu, mine, 3, 8);
}

template <class T>
void expect_shuffled() {
  std::vector<T> out(128);
  ASSERT_EQ(launch(shuffle_all_ways<T>, 1, 32, out.data()), cudaSuccess);
  for (unsigned i = 0; i < 32; ++i) {
    EXPECT_EQ(out[i], static_cast<T>(i / 8 * 8 + 1));
    EXPECT_EQ(out[32 + i], static_cast<T>(i ^ 3));
    EXPECT_EQ(out[64 + i], static_cast<T>(i % 8 + 3 < 8 ? i + 3 : i));
    EXPECT_EQ(out[96 + i], static_cast<T>(i % 8 >= 3 ? i - 3 : i));
  }
}

TEST(Warp, ShufflesFourAndEightBytesWithinAWidth) {
  expect_shuffled<int>();
  expect_shuffled<unsigned>();
  expect_shuffled<float>();
  expect_shuffled<double>();
  expect_shuffled<long long>();
}

__global__ void vote(int* out) {
  const unsigned half = threadIdx.x < 16 ? 0x0000ffffu : 0xffff0000u;
  out[threadIdx.x] = __any_sync(half, threadIdx.x == 3) + 2 * __all_sync(half, threadIdx.x >= 16);
  __syncwarp();
  if (threadIdx.x == 0) out[32] = static_cast<int>(__activemask());
}

TEST(Warp, HalvesVoteForThemselves) {
  std::vector<int> out(33);
  ASSERT_EQ(launch(vote, 1, 32, out.data()), cudaSuccess);
  for (std::size_t i = 0; i < 32; ++i) EXPECT_EQ(out[i], i < 16 ? 1 : 2);
}

__global__ void count(int* numbers, float* sum, double* sum64) {
  atomicAdd(numbers, 2);
  atomicMax(numbers + 1, static_cast<int>(threadIdx.x));
  atomicMin(numbers + 2, static_cast<int>(blockIdx.x) - 5);
  if (atomicCAS(numbers + 3, 0, 7) == 0) atomicExch(numbers + 4, static_cast<int>(threadIdx.x));
  atomicAdd(sum, 0.5f);
  atomicAdd(sum64, 0.25);
}

TEST(Atomics, Count) {
  int numbers[5] = {};
  float sum = 0;
  double sum64 = 0;
  ASSERT_EQ(launch(count, 3, 40, &numbers[0], &sum, &sum64), cudaSuccess);
  EXPECT_EQ(numbers[0], 240);
  EXPECT_EQ(numbers[1], 39);
  EXPECT_EQ(numbers[2], -5);
  EXPECT_EQ(numbers[3], 7);
  EXPECT_EQ(sum, 60);
  EXPECT_EQ(sum64, 30);
}

__global__ void wait_at_two_barriers(int) {
  if (threadIdx.x < 32)
    __syncthreads();
  else
    __syncthreads();
}

__global__ void miss_a_shuffle(int) {
  if (threadIdx.x != 5) __shfl_xor_sync(0xffffffffu, 1, 1);
  __syncthreads();
}

__global__ void name_others(int) { __shfl_xor_sync(0xfffffffeu, 1, 1); }

TEST(BlockDeathTest, ADivergentBarrierIsTold) {
  EXPECT_DEATH(launch(wait_at_two_barriers, 1, 64, 0),
               "waits at different barriers.*\n.*threads 0-31: __syncthreads.. at .*block_test");
}

TEST(BlockDeathTest, AShuffleThatALaneNeverJoinsIsTold) {
  EXPECT_DEATH(
      launch(miss_a_shuffle, 1, 32, 0),
      "block .0, 0, 0. of 32 threads is stuck.*\n.*threads 0-4: __shfl_xor_sync.*mask 0xffffffff.*\n.*thread 5: __syncthreads");
}

TEST(BlockDeathTest, AShuffleThatLeavesOutItsCallerIsTold) {
  EXPECT_DEATH(launch(name_others, 1, 32, 0), "mask 0xfffffffe, in which the caller is not .thread 0 of block");
}

__global__ void read_beyond(const float* in, float* out) { *out = in[threadIdx.x]; }

TEST(BlockDeathTest, ASanitizerSeesWhoLeavesMemory) {
  if (!emulated::sanitized()) GTEST_SKIP() << "built without AddressSanitizer";
  void* in = nullptr;
  ASSERT_EQ(cudaMalloc(&in, 33 * sizeof(float)), cudaSuccess);
  float out = 0;
  EXPECT_DEATH(launch(read_beyond, 1, 34, static_cast<const float*>(in), &out), "heap-buffer-overflow");
  EXPECT_EQ(cudaFree(in), cudaSuccess);
}

}  // namespace

// The runtime: memory, launches that are refused, capture and replay.
#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "testing.h"

namespace {

using emulated::launch;

struct Scale {
  float by, plus;
};
__global__ void scale(float* values, const Scale how) { values[threadIdx.x] = values[threadIdx.x] * how.by + how.plus; }
__global__ void nothing(int) {}

class Emulated : public testing::Test {
 protected:
  void SetUp() override {
    before_ = emulated::holdings();
    cudaGetLastError();
    ASSERT_EQ(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), cudaSuccess);
  }
  void TearDown() override {
    EXPECT_EQ(cudaStreamDestroy(stream_), cudaSuccess);
    EXPECT_EQ(emulated::holdings().allocations, before_.allocations);
    EXPECT_EQ(emulated::holdings().objects, before_.objects);
  }
  cudaError_t launch_scale(float* values, Scale how) {
    cudaLaunchConfig_t config{};
    config.blockDim = 4;
    config.stream = stream_;
    return cudaLaunchKernelEx(&config, scale, values, how);
  }

  emulated::Holdings before_;
  cudaStream_t stream_ = nullptr;
};

TEST_F(Emulated, CardSaysWhatItIs) {
  int count = 0;
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaSuccess);
  EXPECT_EQ(count, 1);
  EXPECT_EQ(cudaSetDevice(1), cudaErrorInvalidDevice);
  EXPECT_STREQ(cudaGetErrorName(cudaPeekAtLastError()), "cudaErrorInvalidDevice");
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  setenv("EAQ_EMULATED_SM", "75", 1);
  cudaDeviceProp properties{};
  EXPECT_EQ(cudaGetDeviceProperties(&properties, 0), cudaSuccess);
  unsetenv("EAQ_EMULATED_SM");
  EXPECT_STREQ(properties.name, "emulated card (CPU)");
  EXPECT_EQ(properties.major * 10 + properties.minor, 75);
  int most = 0;
  EXPECT_EQ(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0), cudaSuccess);
  EXPECT_EQ(most, 227 << 10);
}

TEST_F(Emulated, FreshMemoryIsNaNAndEndsSomewhere) {
  setenv("EAQ_EMULATED_MEMORY", "1000000", 1);
  float *first = nullptr, *second = nullptr;
  EXPECT_EQ(cudaMalloc(&first, 600000), cudaSuccess);
  EXPECT_TRUE(std::isnan(first[100]));
  EXPECT_EQ(cudaMalloc(&second, 600000), cudaErrorMemoryAllocation);
  EXPECT_EQ(second, nullptr);
  std::size_t free = 0, total = 0;
  EXPECT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
  EXPECT_EQ(total, 1000000u);
  EXPECT_EQ(free, 400000u);
  EXPECT_EQ(cudaFree(first), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&second, 600000), cudaSuccess);
  EXPECT_EQ(cudaFree(second), cudaSuccess);
  EXPECT_EQ(cudaFree(second), cudaErrorInvalidValue);
  unsetenv("EAQ_EMULATED_MEMORY");
}

TEST_F(Emulated, CopiesKnowTheirDirection) {
  float host[4] = {1, 2, 3, 4}, back[4] = {};
  void *card = nullptr, *pinned = nullptr;
  ASSERT_EQ(cudaMalloc(&card, sizeof host), cudaSuccess);
  ASSERT_EQ(cudaMallocHost(&pinned, sizeof host), cudaSuccess);
  EXPECT_EQ(cudaMemcpy(card, host, sizeof host, cudaMemcpyHostToDevice), cudaSuccess);
  EXPECT_EQ(cudaMemcpyAsync(back, card, sizeof host, cudaMemcpyDeviceToHost, stream_), cudaSuccess);
  EXPECT_EQ(back[3], 4);
  EXPECT_EQ(cudaMemcpyAsync(pinned, card, sizeof host, cudaMemcpyDeviceToHost, stream_), cudaSuccess);
  EXPECT_EQ(cudaMemcpy(back, card, sizeof host, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(card, host, sizeof host, cudaMemcpyDeviceToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(card, host, sizeof host + 1, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemset(card, 0, sizeof host), cudaSuccess);
  EXPECT_EQ(cudaMemcpy(back, card, sizeof host, cudaMemcpyDefault), cudaSuccess);
  EXPECT_EQ(back[3], 0);
  EXPECT_EQ(cudaFreeHost(card), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFreeHost(pinned), cudaSuccess);
  EXPECT_EQ(cudaFree(card), cudaSuccess);
}

TEST_F(Emulated, LaunchesThatNoCardTakesAreRefused) {
  EXPECT_EQ(launch(nothing, 0, 32, 1), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(nothing, 1, 1025, 1), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(nothing, 1, {32, 33}, 1), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(nothing, {1, 65536}, 1, 1), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(nothing, 1, 1024, 1), cudaSuccess);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidConfiguration);
}

TEST_F(Emulated, MuchSharedMemoryIsAskedForFirst) {
  cudaLaunchConfig_t config{};
  config.dynamicSmemBytes = 44 << 10;
  EXPECT_EQ(cudaLaunchKernelEx(&config, nothing, 1), cudaSuccess);
  config.dynamicSmemBytes = 48 << 10;  // nothing left for static arrays
  EXPECT_EQ(cudaLaunchKernelEx(&config, nothing, 1), cudaErrorInvalidValue);
  config.dynamicSmemBytes = 100 << 10;
  EXPECT_EQ(cudaLaunchKernelEx(&config, nothing, 1), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFuncSetAttribute(nothing, cudaFuncAttributeMaxDynamicSharedMemorySize, 228 << 10), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFuncSetAttribute(nothing, cudaFuncAttributeMaxDynamicSharedMemorySize, 100 << 10), cudaSuccess);
  EXPECT_EQ(cudaLaunchKernelEx(&config, nothing, 1), cudaSuccess);
  EXPECT_EQ(cudaFuncSetAttribute(nothing, cudaFuncAttributeMaxDynamicSharedMemorySize, 0), cudaSuccess);
}

TEST_F(Emulated, AGraphRunsWhatWasCaptured) {
  float values[4] = {1, 2, 3, 4}, out[4] = {};
  void* card = nullptr;
  ASSERT_EQ(cudaMalloc(&card, sizeof values), cudaSuccess);
  ASSERT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeGlobal), cudaSuccess);
  EXPECT_EQ(cudaMemcpyAsync(card, values, sizeof values, cudaMemcpyHostToDevice, stream_), cudaSuccess);
  Scale how{2, 1};
  EXPECT_EQ(launch_scale(static_cast<float*>(card), how), cudaSuccess);
  how.by = 1000;  // parameters are kept by value
  EXPECT_EQ(cudaMemcpyAsync(out, card, sizeof out, cudaMemcpyDeviceToHost, stream_), cudaSuccess);
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  ASSERT_EQ(cudaStreamEndCapture(stream_, &graph), cudaSuccess);
  EXPECT_EQ(out[0], 0);  // nothing has run
  std::size_t nodes = 0;
  EXPECT_EQ(cudaGraphGetNodes(graph, nullptr, &nodes), cudaSuccess);
  EXPECT_EQ(nodes, 3u);
  ASSERT_EQ(cudaGraphInstantiate(&exec, graph), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  EXPECT_EQ(cudaGraphLaunch(exec, stream_), cudaSuccess);
  EXPECT_EQ(out[3], 9);
  values[3] = 10;
  EXPECT_EQ(cudaGraphLaunch(exec, stream_), cudaSuccess);
  EXPECT_EQ(out[3], 21);
  EXPECT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
  EXPECT_EQ(cudaFree(card), cudaSuccess);
}

TEST_F(Emulated, WhatACaptureForbidsLosesIt) {
  const auto lose = [this](cudaError_t expected, auto call) {
    ASSERT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeGlobal), cudaSuccess);
    EXPECT_EQ(call(), expected);
    cudaStreamCaptureStatus status{};
    EXPECT_EQ(cudaStreamIsCapturing(stream_, &status), cudaSuccess);
    EXPECT_EQ(status, cudaStreamCaptureStatusInvalidated);
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(graph, nullptr);
  };
  void* memory = nullptr;
  lose(cudaErrorStreamCaptureUnsupported, [&] { return cudaMalloc(&memory, 4); });
  lose(cudaErrorStreamCaptureUnsupported, [&] { return cudaFree(memory); });
  lose(cudaErrorStreamCaptureUnsupported, [&] { return cudaStreamSynchronize(stream_); });
  lose(cudaErrorStreamCaptureUnsupported, [&] { return cudaDeviceSynchronize(); });
  cudaEvent_t event = nullptr;
  ASSERT_EQ(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), cudaSuccess);
  lose(cudaErrorCapturedEvent, [&] {
    EXPECT_EQ(cudaEventRecord(event, stream_), cudaSuccess);
    return cudaEventSynchronize(event);
  });
  EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
}

TEST_F(Emulated, ASecondStreamJoinsACaptureAndMustComeBack) {
  cudaStream_t other = nullptr;
  cudaEvent_t fork = nullptr, join = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking), cudaSuccess);
  ASSERT_EQ(cudaEventCreate(&fork), cudaSuccess);
  ASSERT_EQ(cudaEventCreate(&join), cudaSuccess);
  for (const bool comes_back : {true, false}) {
    float values[4] = {1, 2, 3, 4};
    ASSERT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    EXPECT_EQ(cudaEventRecord(fork, stream_), cudaSuccess);
    EXPECT_EQ(cudaStreamWaitEvent(other, fork), cudaSuccess);
    cudaLaunchConfig_t config{};
    config.blockDim = 4;
    config.stream = other;
    EXPECT_EQ(cudaLaunchKernelEx(&config, scale, &values[0], Scale{2, 0}), cudaSuccess);
    EXPECT_EQ(cudaEventRecord(join, other), cudaSuccess);
    if (comes_back) {
      EXPECT_EQ(cudaStreamWaitEvent(stream_, join), cudaSuccess);
    }
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), comes_back ? cudaSuccess : cudaErrorStreamCaptureUnjoined);
    EXPECT_EQ(values[0], 1);
    if (comes_back) {
      EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
    }
  }
  EXPECT_EQ(cudaEventDestroy(fork), cudaSuccess);
  EXPECT_EQ(cudaEventDestroy(join), cudaSuccess);
  EXPECT_EQ(cudaStreamDestroy(other), cudaSuccess);
}

TEST_F(Emulated, EventsMeasure) {
  cudaEvent_t start = nullptr, end = nullptr;
  ASSERT_EQ(cudaEventCreate(&start), cudaSuccess);
  ASSERT_EQ(cudaEventCreate(&end), cudaSuccess);
  float milliseconds = -1;
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start, end), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaEventRecord(start, stream_), cudaSuccess);
  EXPECT_EQ(cudaEventRecord(end, stream_), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(end), cudaSuccess);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start, end), cudaSuccess);
  EXPECT_GE(milliseconds, 0);
  EXPECT_EQ(cudaEventDestroy(start), cudaSuccess);
  EXPECT_EQ(cudaEventDestroy(end), cudaSuccess);
}

TEST_F(Emulated, RecordedEventsMeasureEachTimeTheGraphRuns) {
  cudaEvent_t start = nullptr, end = nullptr;
  ASSERT_EQ(cudaEventCreate(&start), cudaSuccess);
  ASSERT_EQ(cudaEventCreate(&end), cudaSuccess);
  EXPECT_EQ(cudaEventRecordWithFlags(start, stream_, cudaEventRecordExternal), cudaErrorInvalidValue);
  ASSERT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  EXPECT_EQ(cudaEventRecordWithFlags(start, stream_, cudaEventRecordExternal), cudaSuccess);
  EXPECT_EQ(cudaEventRecordWithFlags(end, stream_, cudaEventRecordExternal), cudaSuccess);
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t ready = nullptr;
  ASSERT_EQ(cudaStreamEndCapture(stream_, &graph), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&ready, graph, 0), cudaSuccess);
  float milliseconds = -1;
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start, end), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaGraphLaunch(ready, stream_), cudaSuccess);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start, end), cudaSuccess);
  EXPECT_GE(milliseconds, 0);
  EXPECT_EQ(cudaGraphExecDestroy(ready), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  EXPECT_EQ(cudaEventDestroy(start), cudaSuccess);
  EXPECT_EQ(cudaEventDestroy(end), cudaSuccess);
}

__global__ void add_in_turns(int* shared_count, int* out) {
  __shared__ int turns;
  if (threadIdx.x == 0) turns = 0;
  __syncthreads();
  for (int i = 0; i < 10; ++i) {
    atomicAdd(&turns, 1);
    __syncthreads();
  }
  if (threadIdx.x == 0) *out = turns;
  atomicAdd(shared_count, 1);
}

TEST_F(Emulated, LaunchesOfSeveralThreadsWaitForEachOther) {
  int count = 0, out[4] = {};
  std::vector<std::thread> callers;
  for (int& one : out)
    callers.emplace_back([&] {
      for (int i = 0; i < 20; ++i) EXPECT_EQ(launch(add_in_turns, 2, 64, &count, &one), cudaSuccess);
    });
  for (std::thread& caller : callers) caller.join();
  for (const int one : out) EXPECT_EQ(one, 640);
  EXPECT_EQ(count, 4 * 20 * 2 * 64);
}

}  // namespace

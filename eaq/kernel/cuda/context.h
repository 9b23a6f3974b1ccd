// What a CudaContext owns.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <map>
#include <memory>
#include <vector>

#include "eaq/kernel/cuda.h"
#include "eaq/kernel/cuda/device.h"
#include "eaq/kernel/cuda/gemm.h"

namespace eaq::kernel_cuda {

struct CudaContext::State {
  // What lies in the card's memory, and small pieces that were given back: the same ones are asked for run after run, and the
  // card's own allocation waits for all work. Work is in order, so a piece may be taken again while earlier work still reads it.
  struct Usage {
    static constexpr std::size_t small = std::size_t{1} << 20;
    std::int64_t now = 0, peak = 0;  // bytes
    std::map<std::size_t, std::vector<std::byte*>> given_back;
    bool keeps = true;  // until the context ends
    void give_back_all();
  };
  struct Resident {
    std::weak_ptr<const void> owner;
    DeviceMemory memory;
  };
  static constexpr std::size_t marks = 8;

  explicit State(int number);
  ~State();

  /// In a recording: a stream whose work comes after all that was submitted so far and before the recording's end, and is waited
  /// for by nothing else. Null outside of recordings, where turning to another stream costs the host more than is gained.
  cudaStream_t beside(cudaStream_t main);

  std::shared_ptr<Usage> usage = std::make_shared<Usage>();  ///< memory may be given back after the context is gone
  int number;
  cudaDeviceProp properties;
  int architecture;  ///< see usable_architecture()
  Stream stream;
  std::array<cudaEvent_t, marks> ends{};  ///< of runs, in turn
  std::uint64_t ended = 0;
  Stream second;
  cudaEvent_t fork = nullptr;
  bool recording = false, forked = false;
  std::vector<cudaEvent_t> passed;  ///< marks
  std::vector<DeviceMemory> scratch;
  std::map<std::pair<const void*, DType>, Resident> residents;
  std::unique_ptr<Gemm> gemm;
};

}  // namespace eaq::kernel_cuda

// What the emulated runtime's own files, and tests, need of it beyond CUDA's interface.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <functional>

namespace emulated {

/// Remembers an error for cudaGetLastError, as every call does with its own, and returns it.
cudaError_t told(cudaError_t error);

/// Runs `work` at once or, where the stream captures, adds it to the graph.
cudaError_t submit(cudaStream_t stream, std::function<void()> work);

/// What a launch would be refused for.
cudaError_t check_launch(const cudaLaunchConfig_t* config, const void* kernel);
/// Programmatic dependent launch.
bool may_begin_early(const cudaLaunchConfig_t& config);

int compute_capability();                ///< 90 is 9.0
constexpr int oldest_with_kernels = 75;  ///< as the program is compiled for cards

/// For calls that no capture may see: where one does, it is lost.
cudaError_t refuse_in_capture();

/// Whether [at, at + bytes) lies in one piece of memory that cudaMalloc gave.
bool is_device_memory(const void* at, std::size_t bytes);

/// Of memory that was taken and not given back, the host's pinned memory included; streams, events and graphs.
struct Holdings {
  std::size_t allocations = 0, device_bytes = 0, objects = 0;
};
Holdings holdings();
void count_object(int by);

}  // namespace emulated

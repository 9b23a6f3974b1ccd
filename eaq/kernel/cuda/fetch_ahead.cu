// With few rows a run is a chain of short kernels, each of which begins by reading a weight that nobody has read since the run
// before: the memory idles while they compute, and they wait while it is read. So a weight is read towards the card's cache
// beside the kernels ahead of the one that wants it.
#include <algorithm>

#include "eaq/kernel/cuda/context.h"
#include "eaq/kernel/cuda/launch.cuh"
#include "eaq/kernel/cuda/ptx.cuh"

namespace eaq::kernel_cuda {
namespace {

constexpr std::size_t line = 128;  // bytes of the cache
constexpr int threads = 128;
constexpr std::size_t most_blocks = 8;  // more take from the kernels beside them, and are no faster

__global__ void fetch(const std::byte* data, std::size_t bytes) {
  const std::size_t step = std::size_t{gridDim.x} * blockDim.x * line;
  for (std::size_t at = (std::size_t{blockIdx.x} * blockDim.x + threadIdx.x) * line; at < bytes; at += step)
    prefetch_l2(data + at);
}

}  // namespace

void fetch_ahead(CudaContext& context, const Matrix& stays) {
  const cudaStream_t beside = context.state().beside(context.stream());
  if (beside == nullptr) return;
  const std::size_t all = static_cast<std::size_t>(stays.rows * stays.stride) * size_of(stays.dtype);
  const std::size_t bytes = std::min(all, context.cache_bytes() / 4);
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(std::clamp<std::size_t>(bytes / (threads * line), 1, most_blocks)));
  config.blockDim = dim3(threads);
  config.stream = beside;
  check(cudaLaunchKernelEx(&config, fetch, static_cast<const std::byte*>(stays.data), bytes),
        "cudaLaunchKernelEx: fetching a weight ahead");
}

}  // namespace eaq::kernel_cuda

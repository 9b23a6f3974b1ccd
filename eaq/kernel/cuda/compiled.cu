#include <cuda_runtime.h>

#include "eaq/kernel/cuda/device.h"
#include "eaq/kernel/cuda/ptx.cuh"

namespace eaq::kernel_cuda {
namespace {

__global__ void never_launched() { wait_for_earlier_kernel(); }

}  // namespace

// Kernels compiled for less than Hopper do not wait for the one ahead of them, so the launch must not let them begin early: what
// the card could do is not the question.
std::optional<int> compiled_architecture() {
  cudaFuncAttributes attributes{};
  const cudaError_t code = cudaFuncGetAttributes(&attributes, never_launched);
  if (code == cudaErrorNoKernelImageForDevice || code == cudaErrorInvalidDeviceFunction) {
    cudaGetLastError();
    return std::nullopt;
  }
  check(code, "cudaFuncGetAttributes: asking what kernels were compiled for");
  return attributes.ptxVersion;
}

}  // namespace eaq::kernel_cuda

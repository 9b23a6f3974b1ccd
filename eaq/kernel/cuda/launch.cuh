// How kernels are launched: all in one way, so that each may begin while the one before it drains (programmatic dependent launch,
// from Hopper on). Every kernel therefore calls wait_for_earlier_kernel() before it touches what the one before it may.
#pragma once

#include <cuda_runtime.h>

#include <string>
#include <utility>

#include "eaq/kernel/cuda.h"
#include "eaq/kernel/cuda/device.h"

namespace eaq::kernel_cuda {

struct Launch {
  dim3 grid, block;
  std::size_t shared = 0;  ///< bytes of dynamic shared memory
  unsigned cluster = 1;    ///< blocks, along x, that may write to each other's shared memory (from Hopper on)
};

/// `what` says in an error what was launched.
template <class... Parameters, class... Arguments>
void launch(const CudaContext& context, const char* what, const Launch& how, void (*kernel)(Parameters...),
            Arguments&&... arguments) {
  allow_shared_memory(reinterpret_cast<const void*>(kernel), how.shared, what);
  cudaLaunchAttribute attributes[2]{};
  attributes[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attributes[0].val.programmaticStreamSerializationAllowed = 1;
  attributes[1].id = cudaLaunchAttributeClusterDimension;
  attributes[1].val.clusterDim = {how.cluster, 1, 1};
  cudaLaunchConfig_t config{};
  config.gridDim = how.grid;
  config.blockDim = how.block;
  config.dynamicSmemBytes = how.shared;
  config.stream = context.stream();
  config.attrs = attributes;
  config.numAttrs = context.architecture() < 90 ? 0 : how.cluster > 1 ? 2 : 1;
  const cudaError_t code = cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(std::forward<Arguments>(arguments))...);
  if (code != cudaSuccess) check(code, (std::string("cudaLaunchKernelEx: ") + what).c_str());
}

}  // namespace eaq::kernel_cuda

// What the tests here share.
#pragma once

#include <cuda_runtime.h>

#include <utility>

extern "C" [[gnu::weak]] void __asan_init();

namespace emulated {

inline bool sanitized() { return __asan_init != nullptr; }

template <class... Parameters, class... Arguments>
cudaError_t launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, Arguments&&... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  return cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...);
}

}  // namespace emulated

// cuda: NVIDIA's cards through the CUDA runtime. What owns something of a card is here; nothing outside this room sees CUDA
// types.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace eaq::kernel_cuda {

/// Error{unavailable} "what: CUDA's reason" where a call failed.
void check(cudaError_t code, const char* what);

/// "GPU-01234567-89ab-...", as the driver's tools write it.
std::string uuid_of(const cudaDeviceProp& properties);

class Stream {
 public:
  Stream();
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  operator cudaStream_t() const { return stream_; }
  void synchronise() const { check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize: waiting for the card"); }

 private:
  cudaStream_t stream_ = nullptr;
};

}  // namespace eaq::kernel_cuda

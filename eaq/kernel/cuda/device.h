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

/// Names of the cards that this process sees. Error{unavailable} where the driver is missing, too old or shows none.
std::vector<std::string> list_devices();

/// "GPU-01234567-89ab-...", as the driver's tools write it.
std::string uuid_of(const cudaDeviceProp& properties);

/// Device memory.
class DeviceBuffer {
 public:
  explicit DeviceBuffer(std::size_t bytes);
  ~DeviceBuffer();
  DeviceBuffer(DeviceBuffer&& other) noexcept;
  DeviceBuffer& operator=(DeviceBuffer&&) = delete;
  std::byte* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
};

class Stream {
 public:
  Stream();
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  operator cudaStream_t() const { return stream_; }
  void synchronise() const { check(cudaStreamSynchronize(stream_), "waiting for the card"); }

 private:
  cudaStream_t stream_ = nullptr;
};

/// Standard normal values with full mantissas, from a counter-based generator: the same for the same seed, on every card.
void fill_normal_bf16(std::byte* data, std::int64_t count, std::uint64_t seed, cudaStream_t stream);
void fill_normal_fp16(std::byte* data, std::int64_t count, std::uint64_t seed, cudaStream_t stream);

}  // namespace eaq::kernel_cuda

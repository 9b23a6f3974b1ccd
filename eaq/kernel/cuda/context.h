// A card as steps see it: a stream, its memory, and what they share.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "eaq/kernel/cuda/device.h"
#include "eaq/kernel/kernel.h"

namespace eaq::kernel_cuda {

class Gemm;

class CudaContext final : public ExecutionContext {
 public:
  /// Error{unavailable} where there is no such card, or the driver is missing or too old.
  explicit CudaContext(int number = 0);
  ~CudaContext() override;

  std::string_view device() const override { return "cuda"; }
  DeviceDescription description() const override;
  void synchronise() override { stream_.synchronise(); }
  void end_run() override;
  void finish_runs(int ahead) override;

  bool is_host() const override { return false; }
  DeviceMemory allocate(std::size_t bytes, std::string_view what) override;
  void upload(std::byte* to, std::span<const std::byte> from) override;
  void download(std::span<std::byte> to, const std::byte* from) override;
  void clear(std::byte* to, std::size_t bytes) override;
  std::optional<std::int64_t> peak_memory(bool begin_anew) override;

  cudaStream_t stream() const { return stream_; }
  const cudaDeviceProp& properties() const { return properties_; }
  int architecture() const { return 10 * properties_.major + properties_.minor; }  ///< 90
  Gemm& gemm() { return *gemm_; }

  /// Scratch memory for one step; its content is lost at the next step. It grows, and what it was before stays taken: recordings
  /// may still point there.
  std::byte* scratch(std::size_t bytes);

  /// A vector of the model in `dtype` in the card's memory: uploaded at its first use and kept as long as the host's own.
  const std::byte* resident(const std::shared_ptr<const std::vector<float>>& values, DType dtype);
  /// Likewise a table of rows, as it is.
  Matrix resident(const std::shared_ptr<const Tensor>& table);

 private:
  struct Resident {
    std::weak_ptr<const void> owner;
    DeviceMemory memory;
  };
  std::byte* keep(const std::shared_ptr<const void>& owner, DType dtype, const Tensor& values);

  struct Usage {
    std::int64_t now = 0, peak = 0;  // bytes
  };
  std::shared_ptr<Usage> usage_;  // memory may be given back after the context is gone
  cudaDeviceProp properties_;
  Stream stream_;
  static constexpr std::size_t marks = 8;
  std::array<cudaEvent_t, marks> ends_{};
  std::uint64_t ended_ = 0;
  std::vector<DeviceMemory> scratch_;
  std::map<std::pair<const void*, DType>, Resident> residents_;
  std::unique_ptr<Gemm> gemm_;
};

/// The context as a card's. Error{bug} for another device's.
CudaContext& cuda_context(ExecutionContext& context);

}  // namespace eaq::kernel_cuda

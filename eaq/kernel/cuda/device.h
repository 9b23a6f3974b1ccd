// cuda: NVIDIA's cards through the CUDA runtime. What owns something of a card is here; nothing outside this room sees CUDA
// types.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <source_location>
#include <string>
#include <vector>

namespace eaq::kernel_cuda {

/// Error{unavailable} "what: CUDA's reason (site)" where a call failed; `what` begins with the call's name.
void check(cudaError_t code, const char* what, std::source_location site = std::source_location::current());
/// " (eaq/kernel/cuda/graph.cpp:38)", wherever the tree lay when it was built.
std::string place_of(const std::source_location& site);

/// What is known where no card can be used; its reason for a person, with what to do.
struct Missing {
  cudaError_t code = cudaErrorNoDevice;
  int driver = 0,
      runtime = 0;       ///< CUDA that the driver offers (0: there is none) and that this program was built with; 13020 is 13.2
  bool control = false;  ///< /dev/nvidiactl is here
  bool hidden = false;   ///< CUDA_VISIBLE_DEVICES is set
};
std::string why_no_card(const Missing& missing);

/// Lets a kernel's blocks have so much dynamic shared memory on the thread's current card. Never lowers what was allowed before:
/// recorded work may need it. What went wrong, cudaErrorInvalidValue where the card has less.
cudaError_t allow_shared_memory(const void* kernel, std::size_t bytes);
/// Likewise; Error{unavailable} beginning with `what`.
void allow_shared_memory(const void* kernel, std::size_t bytes, const char* what);

/// 90 is sm_90: the card's own architecture, or a lower one where EAQ_CUDA_ARCHITECTURE (read once) or what the kernels were
/// compiled for bids. Error{usage} where the variable is no number or above the card, Error{unavailable} where there are no
/// kernels for the card.
int usable_architecture(const cudaDeviceProp& properties);

/// The virtual architecture that kernels were compiled for: 90 for compute_90. 0 where the runtime does not tell; nothing where
/// there are none for the current card.
std::optional<int> compiled_architecture();

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

// Memory: the host's, so that AddressSanitizer sees who leaves what was taken. What nobody wrote is NaN.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#include "emulated/emulated.h"
#include "emulated/limits.h"

namespace emulated {
namespace {

struct Piece {
  std::size_t bytes = 0;
  bool device = false;
};

std::mutex guard;
std::map<std::uintptr_t, Piece> pieces;
std::size_t device_bytes = 0, objects = 0;

cudaError_t take(void** pointer, std::size_t bytes, bool device) {
  if (pointer == nullptr) return cudaErrorInvalidValue;
  if (const cudaError_t error = refuse_in_capture(); error != cudaSuccess) return error;
  *pointer = nullptr;
  if (bytes == 0) return cudaSuccess;
  const std::scoped_lock lock(guard);
  if (device && bytes > card_memory() - std::min(card_memory(), device_bytes)) return cudaErrorMemoryAllocation;
  if (posix_memalign(pointer, 512, bytes) != 0) return cudaErrorMemoryAllocation;
  std::memset(*pointer, 0xff, bytes);
  pieces[reinterpret_cast<std::uintptr_t>(*pointer)] = {bytes, device};
  if (device) device_bytes += bytes;
  return cudaSuccess;
}

cudaError_t give_back(void* pointer, bool device) {
  if (const cudaError_t error = refuse_in_capture(); error != cudaSuccess) return error;
  if (pointer == nullptr) return cudaSuccess;
  const std::scoped_lock lock(guard);
  const auto piece = pieces.find(reinterpret_cast<std::uintptr_t>(pointer));
  if (piece == pieces.end() || piece->second.device != device) return cudaErrorInvalidValue;
  if (device) device_bytes -= piece->second.bytes;
  pieces.erase(piece);
  std::free(pointer);
  return cudaSuccess;
}

enum class Side { host, device, torn };

// Where [at, at + bytes) lies. Torn: begins in a piece of the card's memory and does not end in it.
Side side_of(const void* at, std::size_t bytes) {
  const std::scoped_lock lock(guard);
  const auto address = reinterpret_cast<std::uintptr_t>(at);
  auto piece = pieces.upper_bound(address);
  if (piece == pieces.begin()) return Side::host;
  --piece;
  if (!piece->second.device || address >= piece->first + piece->second.bytes) return Side::host;
  return bytes <= piece->first + piece->second.bytes - address ? Side::device : Side::torn;
}

cudaError_t check_copy(const void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault) return cudaErrorInvalidMemcpyDirection;
  const Side target = side_of(to, bytes), source = side_of(from, bytes);
  if (to == nullptr || from == nullptr || target == Side::torn || source == Side::torn) return cudaErrorInvalidValue;
  if (kind == cudaMemcpyDefault) return cudaSuccess;
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  return (target == Side::device) == to_device && (source == Side::device) == from_device ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;
  if (const cudaError_t error = check_copy(to, from, bytes, kind); error != cudaSuccess) return error;
  return submit(stream, [=] { std::memcpy(to, from, bytes); });
}

cudaError_t set(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;
  if (side_of(to, bytes) != Side::device) return cudaErrorInvalidValue;
  return submit(stream, [=] { std::memset(to, value, bytes); });
}

}  // namespace

bool is_device_memory(const void* at, std::size_t bytes) { return side_of(at, bytes) == Side::device; }

Holdings holdings() {
  const std::scoped_lock lock(guard);
  return {pieces.size(), device_bytes, objects};
}

void count_object(int by) {
  const std::scoped_lock lock(guard);
  objects += static_cast<std::size_t>(by);
}

}  // namespace emulated

using emulated::told;

cudaError_t cudaMalloc(void** pointer, std::size_t bytes) { return told(emulated::take(pointer, bytes, true)); }
cudaError_t cudaFree(void* pointer) { return told(emulated::give_back(pointer, true)); }
cudaError_t cudaMallocHost(void** pointer, std::size_t bytes) { return told(emulated::take(pointer, bytes, false)); }
cudaError_t cudaHostAlloc(void** pointer, std::size_t bytes, unsigned) { return told(emulated::take(pointer, bytes, false)); }
cudaError_t cudaFreeHost(void* pointer) { return told(emulated::give_back(pointer, false)); }

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  *total = emulated::card_memory();
  *free = *total - std::min(*total, emulated::holdings().device_bytes);
  return cudaSuccess;
}

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  if (const cudaError_t error = emulated::refuse_in_capture(); error != cudaSuccess) return told(error);
  return told(emulated::copy(to, from, bytes, kind, nullptr));
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  return told(emulated::copy(to, from, bytes, kind, stream));
}

cudaError_t cudaMemset(void* to, int value, std::size_t bytes) {
  if (const cudaError_t error = emulated::refuse_in_capture(); error != cudaSuccess) return told(error);
  return told(emulated::set(to, value, bytes, nullptr));
}

cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  return told(emulated::set(to, value, bytes, stream));
}

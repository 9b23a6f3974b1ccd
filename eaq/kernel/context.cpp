// What a context does where a device computes in the host's own memory.
#include <cstring>
#include <memory>

#include "eaq/kernel/kernel.h"

namespace eaq {

DeviceMemory ExecutionContext::allocate(std::size_t bytes, std::string_view) {
  auto buffer = std::make_shared<Buffer>(bytes);
  std::byte* data = buffer->data();
  return {data, bytes, [buffer = std::move(buffer)](std::byte*) mutable { buffer.reset(); }};
}

void ExecutionContext::upload(std::byte* to, std::span<const std::byte> from) {
  if (!from.empty()) std::memcpy(to, from.data(), from.size());
}

void ExecutionContext::download(std::span<std::byte> to, const std::byte* from) {
  if (!to.empty()) std::memcpy(to.data(), from, to.size());
}

void ExecutionContext::copy(std::byte* to, const std::byte* from, std::size_t bytes) {
  if (bytes > 0) std::memcpy(to, from, bytes);
}

void ExecutionContext::clear(std::byte* to, std::size_t bytes) {
  if (bytes > 0) std::memset(to, 0, bytes);
}

}  // namespace eaq

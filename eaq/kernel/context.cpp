// What a context does where a device computes in the host's own memory.
#include <cstring>
#include <memory>

#include "eaq/kernel/kernel.h"

namespace eaq {

void ExecutionContext::mark(std::size_t i) {
  if (passed_.size() <= i) passed_.resize(i + 1);
  passed_[i] = monotonic_clock().now();
}

std::vector<Seconds> ExecutionContext::marks(std::size_t count) {
  std::vector<Seconds> since;
  for (std::size_t i = 0; i < count; ++i) since.push_back(passed_.at(i) - passed_.at(0));
  return since;
}

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

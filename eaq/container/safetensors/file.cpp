#include "eaq/container/safetensors/file.h"

#include <cstring>

namespace eaq::safetensors {

File::File(const std::filesystem::path& path) : map_(path), header_(parse_header(map_.bytes(), path.string())) {}

std::vector<std::string> File::names() const {
  std::vector<std::string> names;
  names.reserve(header_.entries.size());
  for (const Entry& e : header_.entries) names.push_back(e.name);
  return names;
}

const Entry& File::entry(std::string_view name) const {
  const Entry* e = header_.find(name);
  if (e == nullptr)
    throw Error(ErrorKind::input, printable(map_.path().string()) + ": has no tensor '" + printable(name) + "' among its " +
                                      std::to_string(header_.entries.size()));
  return *e;
}

std::span<const std::byte> File::bytes_of(const Entry& e) const {
  return map_.bytes().subspan(header_.data_begin + e.begin, e.end - e.begin);
}

TensorView File::tensor(std::string_view name) const {
  const Entry& e = entry(name);
  if (!e.type->known)
    throw Error(ErrorKind::input, printable(map_.path().string()) + ": '" + printable(name) + "' is stored as " +
                                      std::string(e.type->name) + ", which eaq does not read");
  const auto bytes = bytes_of(e);
  const DType dtype = e.type->dtype;
  if (reinterpret_cast<std::uintptr_t>(bytes.data()) % size_of(dtype) == 0) return {dtype, e.shape, bytes.data()};
  // The format does not promise alignment, processors and compilers want it. Files of the reference library never come here.
  const std::lock_guard lock(mutex_);
  auto it = aligned_.find(name);
  if (it == aligned_.end()) {
    it = aligned_.emplace(e.name, Buffer(bytes.size())).first;
    std::memcpy(it->second.data(), bytes.data(), bytes.size());
  }
  return {dtype, e.shape, it->second.data()};
}

void File::release(std::string_view name) const {
  const Entry& e = entry(name);
  map_.release(bytes_of(e));
  const std::lock_guard lock(mutex_);
  if (const auto it = aligned_.find(name); it != aligned_.end()) aligned_.erase(it);
}

std::string File::hash() const {
  const std::lock_guard lock(mutex_);
  if (hash_.empty()) hash_ = "sha256:" + sha256(map_);
  return hash_;
}

}  // namespace eaq::safetensors

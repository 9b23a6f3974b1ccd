// One safetensors file as a checkpoint.
#pragma once

#include <mutex>
#include <optional>

#include "eaq/container/container.h"
#include "eaq/container/safetensors/header.h"

namespace eaq::safetensors {

class File final : public Checkpoint {
 public:
  explicit File(const std::filesystem::path& path);

  std::vector<std::string> names() const override;
  bool contains(std::string_view name) const override { return header_.find(name) != nullptr; }
  TensorView tensor(std::string_view name) const override;
  void release(std::string_view name) const override;
  std::map<std::string, std::string> metadata() const override { return header_.metadata; }
  std::string hash() const override;
  std::vector<std::filesystem::path> files() const override { return {map_.path()}; }
  std::uint64_t total_bytes() const override { return map_.bytes().size() - header_.data_begin; }

  const Header& header() const { return header_; }

 private:
  const Entry& entry(std::string_view name) const;
  std::span<const std::byte> bytes_of(const Entry& e) const;

  MappedFile map_;
  Header header_;
  mutable std::mutex mutex_;
  mutable std::map<std::string, Buffer, std::less<>> aligned_;  // copies of tensors that begin at no multiple of their element
  mutable std::string hash_;
};

/// The shards that an index names, as one checkpoint.
std::unique_ptr<Checkpoint> open_sharded(const std::filesystem::path& index);

}  // namespace eaq::safetensors

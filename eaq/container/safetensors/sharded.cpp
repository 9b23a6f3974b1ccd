// A checkpoint in several files: an index, `{"metadata": {...}, "weight_map": {"TENSOR": "SHARD FILE", ...}}`, beside its shards.
#include <algorithm>
#include <iterator>

#include "eaq/base/json.h"
#include "eaq/container/safetensors/file.h"

namespace eaq::safetensors {
namespace {

[[noreturn]] void fail(const std::filesystem::path& file, const std::string& what) {
  throw Error(ErrorKind::input, printable(file.string()) + ": " + what);
}

// A shard stands beside the index or below it. Judged by its name alone: download caches keep files as links to elsewhere.
bool stays_inside(const std::filesystem::path& shard) {
  return !shard.empty() && shard.is_relative() && shard.has_filename() &&
         std::none_of(shard.begin(), shard.end(), [](const auto& part) { return part == ".." || part == "."; });
}

class Sharded final : public Checkpoint {
 public:
  explicit Sharded(std::filesystem::path index) : index_(std::move(index)) {
    const Json root = read_json(index_, {.bytes = max_header});
    const auto map = root.is_object() ? root.find("weight_map") : root.end();
    if (!root.is_object() || map == root.end() || !map->is_object()) fail(index_, "has no object 'weight_map'");
    if (map->empty()) fail(index_, "its 'weight_map' names no tensor");
    for (const auto& [tensor, shard] : map->items()) {
      if (!shard.is_string()) fail(index_, "'" + printable(tensor) + "' must name a shard file");
      expect(tensor, shard.template get_ref<const std::string&>());
    }
    for (const auto& [name, file] : shards_) take(name, *file);
    read_metadata(root);
  }

  std::vector<std::string> names() const override {
    std::vector<std::string> names;
    std::transform(where_.begin(), where_.end(), std::back_inserter(names), [](const auto& entry) { return entry.first; });
    return names;
  }
  bool contains(std::string_view name) const override { return where_.find(name) != where_.end(); }
  TensorView tensor(std::string_view name) const override { return file_of(name).tensor(name); }
  void release(std::string_view name) const override { file_of(name).release(name); }
  std::map<std::string, std::string> metadata() const override { return metadata_; }

  std::string hash() const override {
    const std::lock_guard lock(mutex_);
    if (hash_.empty()) {
      std::string lines = sha256_file(index_) + "  " + index_.filename().string() + "\n";
      for (const auto& [name, file] : shards_)
        lines += file->hash().substr(std::string_view("sha256:").size()) + "  " + name + "\n";
      hash_ = "sha256:" + sha256(lines);
    }
    return hash_;
  }

  std::vector<std::filesystem::path> files() const override {
    std::vector<std::filesystem::path> files{index_};
    for (const auto& [name, file] : shards_) files.push_back(index_.parent_path() / name);
    return files;
  }

  std::uint64_t total_bytes() const override {
    std::uint64_t total = 0;
    for (const auto& [name, file] : shards_) total += file->total_bytes();
    return total;
  }

 private:
  void expect(const std::string& tensor, const std::string& shard) {
    if (!stays_inside(shard))
      fail(index_, "'" + printable(tensor) + "' is in '" + printable(shard) + "', which leaves the folder");
    auto& file = shards_[shard];
    if (file == nullptr) {
      const auto path = index_.parent_path() / shard;
      if (!std::filesystem::exists(path))
        fail(index_, "'" + printable(tensor) + "' is in '" + printable(shard) + "', which is not there");
      file = std::make_unique<File>(path);
    }
    if (!file->contains(tensor))
      fail(index_, "'" + printable(tensor) + "' is not in '" + printable(shard) + "', where the index has it");
  }

  // Tensors that the index does not name are taken as well: the reference loaders read whole shards.
  void take(const std::string& shard, const File& file) {
    for (const Entry& e : file.header().entries) {
      const auto [it, fresh] = where_.emplace(e.name, &file);
      if (!fresh)
        fail(index_, "'" + printable(e.name) + "' stands in two shards, '" + printable(shard) + "' and '" +
                         printable(it->second->files().front().filename().string()) + "'");
    }
  }

  void read_metadata(const Json& root) {
    if (const auto it = root.find("metadata"); it != root.end() && it->is_object())
      for (const auto& [key, value] : it->items())
        metadata_.emplace(key, value.is_string() ? value.template get<std::string>() : value.dump());
    for (const auto& [name, file] : shards_) metadata_.merge(file->metadata());
  }

  const File& file_of(std::string_view name) const {
    const auto it = where_.find(name);
    if (it == where_.end()) fail(index_, "has no tensor '" + printable(name) + "' among its " + std::to_string(where_.size()));
    return *it->second;
  }

  std::filesystem::path index_;
  std::map<std::string, std::unique_ptr<File>> shards_;
  std::map<std::string, const File*, std::less<>> where_;
  std::map<std::string, std::string> metadata_;
  mutable std::mutex mutex_;
  mutable std::string hash_;
};

}  // namespace

std::unique_ptr<Checkpoint> open_sharded(const std::filesystem::path& index) { return std::make_unique<Sharded>(index); }

}  // namespace eaq::safetensors

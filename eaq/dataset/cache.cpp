#include "eaq/dataset/cache.h"

#include <algorithm>
#include <system_error>

#include "eaq/base/json.h"
#include "eaq/container/container.h"

namespace eaq::dataset {
namespace {

constexpr std::string_view schema = "eaq.tokens/1";

std::string file_name(std::string_view stem) {
  constexpr std::size_t most = 80;
  std::string name(stem.substr(0, most));
  const auto fits = [](unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
  };
  std::replace_if(
      name.begin(), name.end(), [&](char c) { return !fits(static_cast<unsigned char>(c)); }, '_');
  return name;
}

Json manifest_of(const Dependencies& dependencies, const std::string& hash, const Arrays& arrays) {
  Json depends = Json::object(), counts = Json::object();
  for (const auto& [name, value] : dependencies) depends[name] = value;
  for (const auto& [name, values] : arrays.narrow) counts[name] = values.size();
  for (const auto& [name, values] : arrays.wide) counts[name] = values.size();
  return {{"schema", schema}, {"depends_on", depends}, {"counts", counts}, {"hash", hash}};
}

/// Why a manifest is not the one wanted, or "".
std::string difference(const Json& manifest, const Dependencies& wanted) {
  if (!manifest.is_object() || manifest.value("schema", Json()) != Json(schema)) return "of another kind";
  const auto found = manifest.find("depends_on");
  if (found == manifest.end() || !found->is_object()) return "damaged";
  for (const auto& [name, value] : wanted)
    if (const auto it = found->find(name); it == found->end() || *it != Json(value)) return name + " has changed";
  return found->size() == wanted.size() ? "" : "of another kind";
}

Arrays read(const std::filesystem::path& file) {
  Arrays arrays;
  const auto checkpoint = open_checkpoint(file);
  for (const std::string& name : checkpoint->names()) {
    const TensorView view = checkpoint->tensor(name);
    if (view.dtype == DType::i32) {
      const auto values = view.as<std::int32_t>();
      arrays.narrow[name].assign(values.begin(), values.end());
    } else {
      const auto values = view.as<std::int64_t>();
      arrays.wide[name].assign(values.begin(), values.end());
    }
  }
  return arrays;
}

template <class T>
TensorView view_of(const std::vector<T>& values) {
  return {dtype_of<T>(), {static_cast<std::int64_t>(values.size())}, reinterpret_cast<const std::byte*>(values.data())};
}

}  // namespace

CacheEntry::CacheEntry(const DataCache& cache, std::string_view stem, Dependencies dependencies)
    : dependencies_(std::move(dependencies)) {
  if (cache.folder.empty()) {
    note_ = "nothing is kept";
  } else if (cache.tokenizer.empty()) {
    note_ = "nothing is kept: the tokenizer's files are not known";
  } else {
    tensors_ = cache.folder / (file_name(stem) + ".safetensors");
    manifest_ = cache.folder / (file_name(stem) + ".json");
  }
}

std::optional<Arrays> CacheEntry::load() {
  if (manifest_.empty()) return std::nullopt;
  std::error_code error;
  if (!std::filesystem::exists(manifest_, error)) return note_ = "no entry yet", std::nullopt;
  try {
    const Json manifest = read_json(manifest_, {.bytes = 1 << 20});
    if (const std::string why = difference(manifest, dependencies_); !why.empty())
      return note_ = "the entry is out of date: " + why, std::nullopt;
    if (manifest.value("hash", Json()) != Json("sha256:" + sha256_file(tensors_)))
      return note_ = "the entry is damaged: " + printable(tensors_.string()) + " has another hash", std::nullopt;
    return read(tensors_);
  } catch (const Error& e) {
    note_ = std::string("the entry is damaged: ") + e.what();
    return std::nullopt;
  }
}

void CacheEntry::store(const Arrays& arrays) {
  if (manifest_.empty()) return;
  try {
    std::error_code error;  // what a failure means shows at the first write
    std::filesystem::create_directories(manifest_.parent_path(), error);
    std::vector<NamedTensor> tensors;
    for (const auto& [name, values] : arrays.narrow) tensors.push_back({name, view_of(values)});
    for (const auto& [name, values] : arrays.wide) tensors.push_back({name, view_of(values)});
    write_safetensors(tensors_, tensors);
    write_text(manifest_, manifest_of(dependencies_, "sha256:" + sha256_file(tensors_), arrays).dump(2) + "\n");
  } catch (const Error& e) {
    note_ += std::string("; nothing is kept: ") + e.what();
  }
}

}  // namespace eaq::dataset

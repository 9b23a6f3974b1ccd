// safetensors as a kind of container, and its writer.
#include <algorithm>
#include <cstring>

#include "eaq/base/json.h"
#include "eaq/container/safetensors/file.h"

namespace eaq {
namespace {

constexpr std::string_view single_name = "model.safetensors";
constexpr std::string_view index_name = "model.safetensors.index.json";

std::filesystem::path find(const std::filesystem::path& folder) {
  // Where both stand, the single file counts, as in Hugging Face's loaders.
  for (const std::string_view name : {single_name, index_name})
    if (std::filesystem::exists(folder / name)) return folder / name;
  return {};
}

bool is_index(const std::filesystem::path& file) { return file.filename().string().ends_with(".safetensors.index.json"); }

bool accepts(const std::filesystem::path& file) { return file.extension() == ".safetensors" || is_index(file); }

std::unique_ptr<Checkpoint> open(const std::filesystem::path& file) {
  if (is_index(file)) return safetensors::open_sharded(file);
  return std::make_unique<safetensors::File>(file);
}

// Wide types first: with a header of whole words every tensor then begins at a multiple of its element.
std::vector<const NamedTensor*> writing_order(std::span<const NamedTensor> tensors) {
  std::vector<const NamedTensor*> order;
  for (const NamedTensor& t : tensors) order.push_back(&t);
  std::sort(order.begin(), order.end(), [](const NamedTensor* a, const NamedTensor* b) {
    const int rank_a = safetensors::rank_of(a->view.dtype), rank_b = safetensors::rank_of(b->view.dtype);
    return rank_a != rank_b ? rank_a > rank_b : a->name < b->name;
  });
  return order;
}

void check_text(const std::filesystem::path& path, std::string_view text) {
  if (!is_utf8(text))
    throw Error(ErrorKind::input, printable(path.string()) + ": '" + printable(text) + "' cannot be written, it is not UTF-8");
}

void check_names(const std::filesystem::path& path, std::span<const NamedTensor> tensors) {
  std::vector<std::string_view> names;
  for (const NamedTensor& t : tensors) {
    check_text(path, t.name);
    names.push_back(t.name);
  }
  names.push_back(safetensors::metadata_key);  // taken by the format
  std::sort(names.begin(), names.end());
  if (const auto twice = std::adjacent_find(names.begin(), names.end()); twice != names.end())
    throw Error(ErrorKind::input, printable(path.string()) + ": two tensors would be called '" + printable(*twice) + "'");
}

std::string json_text(const std::string& text) { return Json(text).dump(); }

std::string header_of(const std::filesystem::path& path, const std::vector<const NamedTensor*>& order,
                      const std::map<std::string, std::string>& metadata) {
  std::string json = "{";
  const auto next = [&json] { return json.size() > 1 ? "," : ""; };
  if (!metadata.empty()) {
    json += json_text(std::string(safetensors::metadata_key)) + ":{";
    std::string_view separator;
    for (const auto& [key, value] : metadata) {
      check_text(path, key), check_text(path, value);
      json += std::string(separator) + json_text(key) + ":" + json_text(value);
      separator = ",";
    }
    json += "}";
  }
  std::size_t offset = 0;
  for (const NamedTensor* t : order) {
    json += next() + json_text(t->name) + ":{\"dtype\":\"" + std::string(name_of(t->view.dtype)) + "\",\"shape\":[";
    for (std::size_t i = 0; i < t->view.shape.size(); ++i) json += (i ? "," : "") + std::to_string(t->view.shape[i]);
    json += "],\"data_offsets\":[" + std::to_string(offset) + ",";
    offset += t->view.bytes().size();
    json += std::to_string(offset) + "]}";
  }
  json += "}";
  json.resize((json.size() + 7) / 8 * 8, ' ');
  if (json.size() > safetensors::max_header)
    throw Error(ErrorKind::input, printable(path.string()) + ": the header would have " + std::to_string(json.size()) +
                                      " bytes, the format allows " + std::to_string(safetensors::max_header));
  return json;
}

}  // namespace

void write_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                       const std::map<std::string, std::string>& metadata) {
  check_names(path, tensors);
  const auto order = writing_order(tensors);
  const std::string header = header_of(path, order, metadata);
  const std::uint64_t length = header.size();
  AtomicFile file(path);
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(header);
  for (const NamedTensor* t : order) file.write(t->view.bytes());
  file.commit();
}

namespace container_safetensors {

const ContainerKind& entry() {
  static const ContainerKind kind{
      .summary = "Hugging Face's format: one file, or shards with an index", .find = find, .accepts = accepts, .open = open};
  return kind;
}

}  // namespace container_safetensors
}  // namespace eaq

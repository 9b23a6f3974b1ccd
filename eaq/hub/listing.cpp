#include "eaq/hub/listing.h"

#include <algorithm>
#include <array>
#include <set>

#include "eaq/base/base.h"
#include "eaq/base/json.h"

namespace eaq::hub {
namespace {

constexpr std::string_view single = "model.safetensors", sharded = "model.safetensors.index.json";

// Small files that eaq looks at, where there are any; Python looks at them, too.
constexpr std::array<std::string_view, 9> small_files{"config.json",
                                                      "generation_config.json",
                                                      "tokenizer.json",
                                                      "tokenizer_config.json",
                                                      "special_tokens_map.json",
                                                      "vocab.txt",
                                                      "added_tokens.json",
                                                      "vocab.json",
                                                      "merges.txt"};

[[noreturn]] void fail(const std::string& name, const std::string& what) { throw Error(ErrorKind::input, name + ": " + what); }

bool is_commit(std::string_view text) {
  return text.size() == 40 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

ListedFile file_of(const Json& entry, const std::string& name) {
  if (!entry.is_object()) fail(name, "an entry of 'siblings' is no object");
  ListedFile file{get<std::string>(entry, "rfilename", name), std::nullopt};
  if (!stays_below(file.name))
    fail(name, "lists '" + printable(file.name) + "', which leads out of the repository; nothing is fetched");
  if (const auto size = entry.find("size"); size != entry.end() && size->is_number_unsigned())
    file.bytes = size->get<std::uint64_t>();
  return file;
}

// What such a file may be called: nothing that a folder keeps for others, as dotfiles are.
bool is_shard(std::string_view path) {
  const auto plain = [](char c) { return static_cast<unsigned char>(c) >= 0x20 && c != '\\'; };
  return std::all_of(path.begin(), path.end(), plain) && path.ends_with(".safetensors") && !path.starts_with('.') &&
         path.find("/.") == std::string_view::npos;
}

std::string some_of(const Listing& listing) {
  std::string names;
  std::size_t shown = 0;
  for (const ListedFile& file : listing.files) {
    if (++shown > 8) return names + ", ...";
    names += (names.empty() ? "" : ", ") + printable(file.name);
  }
  return names.empty() ? "nothing" : names;
}

}  // namespace

const ListedFile* Listing::find(std::string_view name) const {
  const auto at = std::find_if(files.begin(), files.end(), [&](const ListedFile& file) { return file.name == name; });
  return at == files.end() ? nullptr : &*at;
}

bool stays_below(std::string_view path) {
  if (path.empty() || path.size() > 4096) return false;
  for (const char c : path)
    if (static_cast<unsigned char>(c) < 0x20 || c == '\\') return false;
  for (;;) {
    const std::size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    if (part.empty() || part == "." || part == "..") return false;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

Listing read_listing(std::string_view text, const std::string& name) {
  const Json root = parse_json(text, name);
  if (!root.is_object()) fail(name, "is no object");
  Listing listing{get<std::string>(root, "sha", name), {}};
  if (!is_commit(listing.commit)) fail(name, "'sha' is '" + printable(listing.commit) + "', which is no commit");
  const auto siblings = root.find("siblings");
  if (siblings == root.end() || !siblings->is_array()) fail(name, "has no array 'siblings', the repository's files");
  for (const Json& entry : *siblings) listing.files.push_back(file_of(entry, name));
  return listing;
}

bool is_small_file(std::string_view name) { return std::find(small_files.begin(), small_files.end(), name) != small_files.end(); }

bool is_index(std::string_view file) { return file == sharded; }

std::string checkpoint_file(const Listing& listing, const std::string& repository) {
  if (listing.find("config.json") == nullptr)
    fail(repository, "has no config.json, so it is no model that eaq can run; there is: " + some_of(listing));
  for (const std::string_view name : {single, sharded})
    if (listing.find(name) != nullptr) return std::string(name);
  for (const char* pickle : {"pytorch_model.bin", "pytorch_model.bin.index.json"})
    if (listing.find(pickle) != nullptr)
      fail(repository, "has no safetensors, only a pickle (" + std::string(pickle) +
                           "), which can run code when it is read. Its revision refs/pr/N may have them (see its discussions); "
                           "or save it again "
                           "in Python, transformers.AutoModel.from_pretrained(\"" +
                           repository + "\").save_pretrained(\"DIR\") with the right class, and name the folder");
  fail(repository, "has no model.safetensors and no model.safetensors.index.json; there is: " + some_of(listing));
}

std::vector<std::string> shards_of(std::string_view index, const std::string& name) {
  const Json root = parse_json(index, name);
  const auto map = root.is_object() ? root.find("weight_map") : root.end();
  if (map == root.end() || !map->is_object() || map->empty()) fail(name, "has no object 'weight_map' that names tensors");
  std::set<std::string> shards;
  for (const auto& [tensor, shard] : map->items()) {
    if (!shard.is_string()) fail(name, "'" + printable(tensor) + "' must name a shard file");
    const auto file = shard.get<std::string>();
    if (!stays_below(file)) fail(name, "'" + printable(tensor) + "' is in '" + printable(file) + "', which leaves the folder");
    if (!is_shard(file))
      fail(name, "'" + printable(tensor) + "' is in '" + printable(file) + "', which is no name of a safetensors file");
    shards.insert(file);
  }
  return {shards.begin(), shards.end()};
}

}  // namespace eaq::hub

// What a hub says about a repository at a revision, and which of its files eaq reads.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace eaq::hub {

struct ListedFile {
  std::string name;                    ///< as in the repository: "model.safetensors", "onnx/model.onnx"
  std::optional<std::uint64_t> bytes;  ///< where the hub says
};

struct Listing {
  std::string commit;  ///< 40 hexadecimal digits
  std::vector<ListedFile> files;

  const ListedFile* find(std::string_view name) const;
};

/// Of the hub's answer to /api/models/ID/revision/REVISION: `{"sha": COMMIT, "siblings": [{"rfilename": NAME, "size": N}, ...]}`.
/// Error{input} for anything malformed, for a commit that is none, and for a name that leads out of the repository: `name` is
/// what it calls the answer.
Listing read_listing(std::string_view text, const std::string& name);

/// Whether a relative path stays below the folder that it starts in, by its name alone.
bool stays_below(std::string_view path);

/// A file of the repository's top that eaq reads: configuration, generation configuration, tokenizer.
bool is_small_file(std::string_view name);
/// model.safetensors, else the index of the shards. Error{input} where there is neither, saying what there is instead.
std::string checkpoint_file(const Listing& listing, const std::string& repository);
bool is_index(std::string_view file);

/// The files that an index names, each once. Error{input} for a malformed index, for a shard outside the folder, and for one that
/// is no safetensors file by its name, or hidden.
std::vector<std::string> shards_of(std::string_view index, const std::string& name);

}  // namespace eaq::hub

// Tokenised results on disk: NAME.safetensors beside NAME.json, a manifest of everything that they depend on. An entry is used
// only if its manifest agrees word for word with what would be made now, and its tensors have the hash that the manifest states.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "eaq/dataset/dataset.h"
#include "eaq/tensor/tensor.h"

namespace eaq::dataset {

/// What a tokenised result depends on, by name: hashes, options, versions. Each value is compared by itself, so that a note can
/// name the one that changed.
using Dependencies = std::map<std::string, std::string>;

/// Integer arrays by name.
struct Arrays {
  std::map<std::string, std::vector<std::int32_t>> narrow;
  std::map<std::string, std::vector<std::int64_t>> wide;
};

class CacheEntry {
 public:
  /// `stem` names the entry within the folder; it is made fit for a file's name.
  CacheEntry(const DataCache& cache, std::string_view stem, Dependencies dependencies);

  /// The arrays, or nothing and why in note().
  std::optional<Arrays> load();

  /// Writes both files; what prevents it is appended to note().
  void store(const Arrays& arrays);

  const std::string& note() const { return note_; }

 private:
  std::filesystem::path tensors_, manifest_;
  Dependencies dependencies_;
  std::string note_;
};

}  // namespace eaq::dataset

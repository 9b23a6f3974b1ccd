// container: checkpoints on disk. A model's tensors are read through a memory map and never copied: whoever packs a tensor for a
// backend releases its pages afterwards, so that a checkpoint is not held twice.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eaq/base/base.h"
#include "eaq/tensor/tensor.h"

namespace eaq {

/// Named tensors in one or several files, read-only. All members may be called from several threads.
class Checkpoint {
 public:
  virtual ~Checkpoint() = default;

  virtual std::vector<std::string> names() const = 0;  ///< sorted by bytes
  virtual bool contains(std::string_view name) const = 0;

  /// Reads no data. The view holds until release(name) or until the checkpoint goes. Error{input} names file and tensor where it
  /// is missing or has a type that eaq does not compute with (F4, F8_E8M0, ...).
  virtual TensorView tensor(std::string_view name) const = 0;

  /// Gives the resident pages of one tensor back; it can be asked for again, and is then read anew. Unknown names: Error{input}.
  virtual void release(std::string_view name) const = 0;

  /// What the files say about themselves (`{"format": "pt"}`). Of a sharded checkpoint: its index's entries, then its shards'.
  virtual std::map<std::string, std::string> metadata() const = 0;

  /// "sha256:..." of the file; of several, the hash of the lines "HEX  FILENAME\n" in the order of files(), as sha256sum prints
  /// them. Computed at the first call (about a second per GB), without keeping pages.
  virtual std::string hash() const = 0;

  virtual std::vector<std::filesystem::path> files() const = 0;  ///< an index first, then shards by name
  virtual std::uint64_t total_bytes() const = 0;                 ///< of all tensors, without headers

  Checkpoint(const Checkpoint&) = delete;
  Checkpoint& operator=(const Checkpoint&) = delete;

 protected:
  Checkpoint() = default;
};

/// One container format: a folder of eaq/container.
struct ContainerKind {
  std::string_view summary;
  /// The file of a model folder that open() takes, empty where the folder has none of this kind.
  std::filesystem::path (*find)(const std::filesystem::path& folder);
  /// Whether a file's name is one of this kind.
  bool (*accepts)(const std::filesystem::path& file);
  std::unique_ptr<Checkpoint> (*open)(const std::filesystem::path& file);
};

std::span<const RegistryRow<ContainerKind>> container_kinds();

/// Opens the checkpoint of a model folder (`model.safetensors`, or shards named by `model.safetensors.index.json`), or one file.
/// Error{input} where there is none, naming what was looked for, and for anything malformed.
std::unique_ptr<Checkpoint> open_checkpoint(const std::filesystem::path& model);

struct NamedTensor {
  std::string name;
  TensorView view;
};

/// Writes a safetensors file that appears whole or not at all. Tensors are ordered as the reference library orders them (wide
/// types first, then by name), so that each begins at a multiple of its element's size and the same content gives the same bytes.
/// Error{input} for names that stand twice, are not UTF-8, or are `__metadata__`.
void write_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace eaq

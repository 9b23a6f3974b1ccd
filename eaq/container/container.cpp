#include <algorithm>

#include "eaq/container/container.h"

namespace eaq {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& what) {
  throw Error(ErrorKind::input, printable(path.string()) + ": " + what);
}

[[noreturn]] void refuse_pickle(const std::filesystem::path& path, const std::string& folder) {
  fail(path, "is a pickle, which can run code when it is read; eaq reads " + names_of(container_kinds()) +
                 ". Save it again, e.g. in Python: transformers.AutoModelForCausalLM.from_pretrained(\"" + printable(folder) +
                 "\").save_pretrained(\"" + printable(folder) + "\")");
}

bool is_pickle(const std::filesystem::path& file) {
  const auto extension = file.extension();
  return extension == ".bin" || extension == ".pt" || extension == ".pth" || extension == ".ckpt";
}

}  // namespace

std::unique_ptr<Checkpoint> open_checkpoint(const std::filesystem::path& model) {
  const auto status = std::filesystem::status(model);
  if (!std::filesystem::exists(status)) fail(model, "no such file or folder");
  if (std::filesystem::is_directory(status)) {
    for (const auto& row : container_kinds()) {
      if (row.entry == nullptr) continue;
      if (const auto file = row.entry->find(model); !file.empty()) return row.entry->open(file);
    }
    for (const char* name : {"pytorch_model.bin", "pytorch_model.bin.index.json"})
      if (std::filesystem::exists(model / name)) refuse_pickle(model / name, model.string());
    fail(model, "holds no checkpoint: there is no model.safetensors or model.safetensors.index.json in it");
  }
  for (const auto& row : container_kinds())
    if (row.entry != nullptr && row.entry->accepts(model)) return row.entry->open(model);
  if (is_pickle(model)) refuse_pickle(model, model.parent_path().string());
  fail(model, "is no checkpoint by its name: eaq reads " + names_of(container_kinds()));
}

}  // namespace eaq

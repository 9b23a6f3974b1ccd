#include "eaq/export/export.h"

#include <unistd.h>

namespace eaq {

void export_model(const Model& model, const Recipe& recipe, std::string_view layout, const std::filesystem::path& folder) {
  const Exporter* exporter = find_entry(exporters(), layout);
  if (exporter == nullptr)
    throw Error(ErrorKind::usage,
                "no export layout is called '" + printable(layout) + "' (there are: " + names_of(exporters()) + ")");
  if (const std::string reason = exporter->refusal(model.graph, recipe); !reason.empty())
    throw Error(ErrorKind::input, std::string(layout) + " cannot hold this recipe: " + reason);
  if (std::filesystem::exists(folder))
    throw Error(ErrorKind::usage, printable(folder.string()) + " exists already; name a new folder");

  // Beside the target, then renamed: a folder with half a checkpoint must not look like one.
  std::filesystem::path beside = folder;
  if (!beside.has_filename()) beside = beside.parent_path();
  beside += "." + std::to_string(::getpid()) + ".part";
  try {
    std::filesystem::create_directories(beside);
    exporter->write(model, recipe, beside);
    std::filesystem::rename(beside, folder.has_filename() ? folder : folder.parent_path());
  } catch (const std::filesystem::filesystem_error& e) {
    std::error_code ignored;
    std::filesystem::remove_all(beside, ignored);
    throw Error(ErrorKind::input, printable(folder.string()) + ": cannot write: " + e.code().message());
  } catch (...) {
    std::error_code ignored;
    std::filesystem::remove_all(beside, ignored);
    throw;
  }
}

}  // namespace eaq

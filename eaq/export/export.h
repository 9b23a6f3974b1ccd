// export: checkpoints in a recipe's formats that other systems load. One folder per layout.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "eaq/base/base.h"
#include "eaq/engine/engine.h"

namespace eaq {

/// One layout of exported checkpoints.
struct Exporter {
  std::string_view summary;
  /// Why this recipe cannot be written in this layout; empty where it can.
  std::string (*refusal)(const Graph&, const Recipe&);
  /// Writes a whole model folder: weights, configuration, tokenizer. Nothing of it appears before all of it is written.
  void (*write)(const Model&, const Recipe&, const std::filesystem::path& folder);
};

std::span<const RegistryRow<Exporter>> exporters();

/// Writes `model` by the exporter called `layout`. Error{usage} for an unknown one or a folder that exists already, Error{input}
/// with the reason for a recipe that the layout cannot hold or a folder that cannot be written.
void export_model(const Model&, const Recipe&, std::string_view layout, const std::filesystem::path& folder);

}  // namespace eaq

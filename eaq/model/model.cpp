#include "eaq/model/model.h"

#include <algorithm>

#include "eaq/base/json.h"

namespace eaq {

const Site* Graph::site(std::string_view id_or_name) const {
  for (const Site& site : sites)
    if (site.id == id_or_name || std::find(site.names.begin(), site.names.end(), id_or_name) != site.names.end()) return &site;
  return nullptr;
}

Graph graph_of(const std::filesystem::path& model_dir, Logits logits) {
  if (!std::filesystem::is_directory(model_dir))
    throw Error(ErrorKind::input, printable(model_dir.string()) +
                                      ": not a folder; a model is a folder with config.json, as Hugging Face writes it");
  const std::filesystem::path path = model_dir / "config.json";
  return graph_of_config(read_text(path, 1 << 24), printable(path.string()), logits);
}

Graph graph_of_config(std::string_view text, const std::string& name, Logits logits) {
  const Json config = parse_json(text, name);
  if (config.contains("quantization_config") && !config["quantization_config"].is_null())
    throw Error(ErrorKind::input, name + ": 'quantization_config': checkpoints that are already quantised are not supported");
  for (const auto& row : model_families())
    if (row.entry != nullptr && row.entry->matches(text)) return row.entry->build(text, name, logits);
  throw Error(ErrorKind::input, name + ": model_type '" + printable(get_or<std::string>(config, "model_type", name, "")) +
                                    "' is not supported (there are: " + names_of(model_families()) + ")");
}

}  // namespace eaq

#include "eaq/export/huggingface/huggingface.h"

#include <map>
#include <vector>

#include "eaq/base/json.h"
#include "eaq/container/container.h"

namespace eaq::export_huggingface {
namespace {

std::string refusal(const Graph& graph, const Recipe& recipe) {
  for (const Site& site : graph.sites) {
    const std::string& format = recipe.format_of(site.id);
    const std::string_view storage = format_named(format).traits().storage;
    if (storage != "fp32" && storage != "bf16" && storage != "fp16")
      return "site " + site.id + " is " + format + ", and this layout stores floating point only";
    if (!site.tied_to.empty() && recipe.format_of(site.tied_to) != format)
      return "site " + site.id + " is tied and has a format of its own, which takes a second tensor";
  }
  return "";
}

// Storage by tensor name: weights as their site, biases and norms as the base format.
std::map<std::string, DType> storages(const Graph& graph, const Recipe& recipe) {
  std::map<std::string, DType> storage;
  const DType base = storage_of(recipe.base);
  for (const Node& node : graph.nodes) {
    if (const auto* linear = std::get_if<LinearNode>(&node.op))
      for (const std::string& name : linear->bias) storage[name] = base;
    if (const auto* norm = std::get_if<NormNode>(&node.op)) storage[norm->gamma] = storage[norm->beta] = base;
  }
  for (const Site& site : graph.sites)
    for (const std::string& name : site.weight.tensors) storage[name] = storage_of(recipe.format_of(site.id));
  return storage;
}

void write_config(const Model& model, const Recipe& recipe, const std::filesystem::path& folder) {
  Json config = read_json(model.path / "config.json");
  constexpr std::string_view names[] = {"float64", "float32", "float16", "bfloat16"};
  config.erase("torch_dtype");
  config["dtype"] = names[static_cast<std::size_t>(storage_of(recipe.base))];
  write_text(folder / "config.json", config.dump(2) + "\n");
}

void write(const Model& model, const Recipe& recipe, const std::filesystem::path& folder) {
  std::vector<Tensor> tensors;
  std::vector<std::string> names;
  for (const auto& [name, dtype] : storages(model.graph, recipe)) {
    if (!model.has(name)) continue;  // computed, not stored (sinusoidal positions)
    tensors.push_back(stored_as(dtype, model.tensor(name)));
    model.checkpoint->release(model.resolve(name));
    names.push_back(name);
  }
  std::vector<NamedTensor> named;
  for (std::size_t i = 0; i < names.size(); ++i) named.push_back({names[i], tensors[i].view()});
  write_safetensors(folder / "model.safetensors", named, {{"format", "pt"}});
  write_config(model, recipe, folder);
  for (const char* file : {"generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
                           "added_tokens.json", "vocab.txt", "vocab.json", "merges.txt"})
    if (std::filesystem::exists(model.path / file)) std::filesystem::copy_file(model.path / file, folder / file);
}

}  // namespace

const Exporter& entry() {
  static constexpr Exporter exporter{"safetensors as Hugging Face writes them, in fp32, bf16 or fp16 per site", refusal, write};
  return exporter;
}

}  // namespace eaq::export_huggingface

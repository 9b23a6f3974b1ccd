#include <algorithm>

#include "eaq/engine/synthetic.h"
#include "eaq/hub/hub.h"

namespace eaq {
namespace {

void check_shape(const Model& model, const std::string& name, const Shape& wanted) {
  const TensorView view = model.tensor(name);
  if (view.shape != wanted)
    throw Error(ErrorKind::input, printable(model.path.string()) + ": '" + name + "' has shape " + to_string(view.shape) +
                                      ", config.json asks for " + to_string(wanted));
  if (!is_float(view.dtype))
    throw Error(ErrorKind::input, printable(model.path.string()) + ": '" + name + "' is " + std::string(name_of(view.dtype)) +
                                      ", not floating point");
}

// A fused weight's parts share the outputs evenly; each part is [out, in], or [in, out] where transposed.
void check(const Model& model, const WeightRef& weight) {
  const std::int64_t out = weight.out_features / static_cast<std::int64_t>(weight.tensors.size());
  for (const std::string& name : weight.tensors)
    check_shape(model, name, weight.transposed ? Shape{weight.in_features, out} : Shape{out, weight.in_features});
}

void check(const Model& model, const Node& node) {
  if (const auto* embedding = std::get_if<EmbeddingNode>(&node.op)) {
    check(model, embedding->tokens);
    if (!embedding->sinusoidal || model.has(embedding->positions.tensors[0])) check(model, embedding->positions);
  } else if (const auto* linear = std::get_if<LinearNode>(&node.op)) {
    check(model, linear->weight);
    for (const std::string& bias : linear->bias)
      check_shape(model, bias, {linear->weight.out_features / static_cast<std::int64_t>(linear->bias.size())});
  } else if (const auto* norm = std::get_if<NormNode>(&node.op)) {
    const Shape width{model.graph.values[static_cast<std::size_t>(norm->out)].width};
    check_shape(model, norm->gamma, width);
    check_shape(model, norm->beta, width);
  }
}

bool same_content(const Checkpoint& checkpoint, const std::string& a, const std::string& b) {
  const TensorView x = checkpoint.tensor(a), y = checkpoint.tensor(b);
  if (x.dtype != y.dtype || x.shape != y.shape) return false;
  const bool same = std::equal(x.bytes().begin(), x.bytes().end(), y.bytes().begin());
  checkpoint.release(a), checkpoint.release(b);
  return same;
}

// A configuration may say that the head is tied while the checkpoint stores a head of its own; Transformers then believes the
// checkpoint.
void untie_stored_heads(Model& model) {
  for (Node& node : model.graph.nodes) {
    const Site* site = std::get_if<LinearNode>(&node.op) != nullptr ? model.graph.site(node.site) : nullptr;
    if (site == nullptr || site->tied_to.empty()) continue;
    const std::string own = site->id + ".weight", shared = site->weight.tensors[0];
    if (!model.checkpoint->contains(own) || model.resolve(shared) == own ||
        same_content(*model.checkpoint, own, model.resolve(shared)))
      continue;
    auto& mutable_site = model.graph.sites[static_cast<std::size_t>(site - model.graph.sites.data())];
    mutable_site.tied_to.clear();
    mutable_site.weight.tensors = std::get<LinearNode>(node.op).weight.tensors = {own};
    model.graph.parameters += mutable_site.parameters;
  }
}

[[noreturn]] void refuse_text_for(const std::string& model) {
  throw Error(ErrorKind::input, printable(model) +
                                    ": a model of random weights has no tokenizer, and its answers mean nothing; " +
                                    "it can be timed (study, logits) and inspected");
}

}  // namespace

std::filesystem::path model_folder(const std::string& where) {
  if (std::filesystem::exists(where)) return where;
  if (const auto embedded = embedded_model_path(where)) return *embedded;
  if (is_hub_model(where)) return cached_snapshot(hub_name_of(where), hub_options_from_environment()).folder;
  if (is_synthetic(where)) refuse_text_for(where);
  throw Error(ErrorKind::input, printable(where) + ": no such folder, and no embedded model has this name (" +
                                    searched_places("models/" + where) + ")");
}

bool Model::has(std::string_view tensor) const {
  if (checkpoint->contains(tensor)) return true;
  return tensor.starts_with(graph.base_prefix) && checkpoint->contains(tensor.substr(graph.base_prefix.size()));
}

std::string Model::resolve(std::string_view tensor) const {
  if (checkpoint->contains(tensor)) return std::string(tensor);
  if (tensor.starts_with(graph.base_prefix)) {
    // The public GPT-2 was saved from the base model: `h.0...` for `transformer.h.0...`.
    const std::string_view bare = tensor.substr(graph.base_prefix.size());
    if (checkpoint->contains(bare)) return std::string(bare);
  }
  // Of a tied pair only the head may be stored.
  for (const Site& site : graph.sites)
    if (!site.tied_to.empty() && site.weight.tensors[0] == tensor && checkpoint->contains(site.id + ".weight"))
      return site.id + ".weight";
  throw Error(ErrorKind::input, printable(path.string()) + ": the checkpoint has no tensor '" + std::string(tensor) +
                                    "', which config.json asks for");
}

std::shared_ptr<const Tokenizer> tokenizer_of(const Model& model) {
  if (model.random) refuse_text_for(model.name);
  return load_tokenizer(model.path);
}

Model open_model(const std::string& where) {
  if (is_synthetic(where) && !std::filesystem::exists(where)) return synthetic_model(where);
  Model model;
  model.path = model_folder(where);
  if (is_hub_model(where) && !std::filesystem::exists(where)) {
    const HubName hub = hub_name_of(where);
    model.name = hub.id;
    model.source = "hf:" + hub.id + "@" + model.path.filename().string();
  } else {
    // "models/gpt2/" and "models/gpt2" are the same model.
    model.name = std::filesystem::weakly_canonical(model.path).filename().string();
  }
  model.graph = graph_of(model.path);
  model.checkpoint = open_checkpoint(model.path);
  untie_stored_heads(model);
  for (const Node& node : model.graph.nodes) check(model, node);
  return model;
}

}  // namespace eaq

#include "eaq/model/distilbert/distilbert.h"

#include <cmath>

#include "eaq/base/json.h"
#include "eaq/model/builder.h"

namespace eaq::model_distilbert {
namespace {

constexpr float norm_epsilon = 1e-12f;  // fixed in the reference implementation, no configuration entry

struct Config : ModelSizes {
  std::string activation;
  bool sinusoidal;
  std::vector<std::string> labels;
};

// Transformers takes the number of labels from id2label; num_labels makes generic names where that is missing; otherwise two.
std::vector<std::string> labels_of(const Json& json, const std::string& name) {
  std::vector<std::string> labels;
  if (json.contains("id2label") && json["id2label"].is_object()) {
    const Json& names = json["id2label"];
    for (std::size_t i = 0; i < names.size(); ++i)
      labels.push_back(get<std::string>(names, std::to_string(i), name + ": id2label"));
    return labels;
  }
  const int count = get_or<int>(json, "num_labels", name, 2);
  if (count < 1 || count > 1 << 20) refuse(name, "'num_labels' must be positive");
  for (int i = 0; i < count; ++i) labels.push_back("LABEL_" + std::to_string(i));
  return labels;
}

Config read(const Json& json, const std::string& name) {
  Config c{};
  c.vocabulary = get_or<int>(json, "vocab_size", name, 30522);
  c.context = get_or<int>(json, "max_position_embeddings", name, 512);
  c.width = get_or<int>(json, "dim", name, 768);
  c.layers = get_or<int>(json, "n_layers", name, 6);
  c.heads = get_or<int>(json, "n_heads", name, 12);
  c.inner = get_or<int>(json, "hidden_dim", name, 4 * 768);
  c.activation = get_or<std::string>(json, "activation", name, "gelu");
  c.sinusoidal = get_or<bool>(json, "sinusoidal_pos_embds", name, false);
  c.labels = labels_of(json, name);
  if (c.labels.empty()) refuse(name, "a size is not positive");
  check_sizes(c, {.width = "dim", .layers = "n_layers", .heads = "n_heads"}, name);
  if (json.contains("architectures") && json["architectures"].is_array())
    for (const auto& architecture : json["architectures"])
      if (architecture != "DistilBertForSequenceClassification")
        refuse(name,
               "architecture " + printable(architecture.dump()) + " is not supported (DistilBertForSequenceClassification is)");
  return c;
}

bool matches(std::string_view text) {
  return get_or<std::string>(parse_json(text, "config.json"), "model_type", "config.json", "") == "distilbert";
}

Value block(GraphBuilder& b, const Config& c, int layer, Value x, Activation activation) {
  const std::string h = "distilbert.transformer.layer." + std::to_string(layer) + ".";
  const float scale = 1 / std::sqrt(static_cast<float>(c.width / c.heads));
  const Value qkv =
      b.fused_linear(h + "attention.qkv_lin", {h + "attention.q_lin", h + "attention.k_lin", h + "attention.v_lin"}, c.width, x);
  const Value mixed = b.attention(h + "attention", c.heads, layer, false, scale, qkv);
  x = b.norm(h + "sa_layer_norm", norm_epsilon,
             b.residual(h + "attention.residual", b.linear(h + "attention.out_lin", c.width, mixed), x));

  const Value wide = b.linear(h + "ffn.lin1", c.inner, x);
  const Value narrow = b.linear(h + "ffn.lin2", c.width, b.activation(h + "ffn.activation", activation, wide));
  return b.norm(h + "output_layer_norm", norm_epsilon, b.residual(h + "ffn.residual", narrow, x));
}

Graph build(std::string_view text, const std::string& name, Logits) {
  const Config c = read(parse_json(text, name), name);
  const Activation activation = activation_named(c.activation, name);
  Graph graph;
  graph.family = "distilbert";
  graph.task = Task::classification;
  graph.vocabulary = c.vocabulary, graph.context = c.context, graph.width = c.width, graph.layers = c.layers,
  graph.heads = c.heads;
  graph.labels = static_cast<std::int64_t>(c.labels.size());
  graph.label_names = c.labels;
  graph.base_prefix = "distilbert.";

  GraphBuilder b(std::move(graph));
  Value x = b.embedding("distilbert.embeddings.word_embeddings", "distilbert.embeddings.position_embeddings", c.sinusoidal);
  x = b.norm("distilbert.embeddings.LayerNorm", norm_epsilon, x);
  for (int layer = 0; layer < c.layers; ++layer) x = block(b, c, layer, x, activation);
  x = b.select("distilbert.first_token", false, x);
  x = b.head("pre_classifier", "pre_classifier.weight", "pre_classifier.bias", c.width, "", x);
  x = b.activation("pre_classifier.relu", Activation::relu, x);
  return b.finish(
      b.head("classifier", "classifier.weight", "classifier.bias", static_cast<std::int64_t>(c.labels.size()), "", x));
}

}  // namespace

const ModelFamily& entry() {
  static constexpr SizeKey sizes[] = {{"layers", "n_layers"},
                                      {"width", "dim"},
                                      {"heads", "n_heads"},
                                      {"vocabulary", "vocab_size"},
                                      {"context", "max_position_embeddings"},
                                      {"inner", "hidden_dim"},
                                      {"labels", "num_labels"}};
  static constexpr ModelFamily family{"distilbert", matches, build, sizes, ""};
  return family;
}

}  // namespace eaq::model_distilbert

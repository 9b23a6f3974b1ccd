#include "eaq/model/gpt2/gpt2.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "eaq/base/json.h"
#include "eaq/model/builder.h"

namespace eaq::model_gpt2 {
namespace {

struct Config : ModelSizes {
  int end_of_text;
  std::string activation;
  float epsilon;
  bool scale, scale_by_layer, tied;
};

Config read(const Json& json, const std::string& name) {
  Config c{};
  c.vocabulary = get_or<int>(json, "vocab_size", name, 50257);
  c.context = get_or<int>(json, "n_positions", name, 1024);
  c.width = get_or<int>(json, "n_embd", name, 768);
  c.layers = get_or<int>(json, "n_layer", name, 12);
  c.heads = get_or<int>(json, "n_head", name, 12);
  // A width that the checks refuse must not overflow before they see it.
  constexpr int most = std::numeric_limits<int>::max();
  c.inner = get_or<int>(json, "n_inner", name, c.width > most / 4 ? most : 4 * std::max(c.width, 0));
  c.activation = get_or<std::string>(json, "activation_function", name, "gelu_new");
  c.epsilon = static_cast<float>(get_or<double>(json, "layer_norm_epsilon", name, 1e-5));
  c.scale = get_or<bool>(json, "scale_attn_weights", name, true);
  c.scale_by_layer = get_or<bool>(json, "scale_attn_by_inverse_layer_idx", name, false);
  c.tied = get_or<bool>(json, "tie_word_embeddings", name, true);
  c.end_of_text = -1;
  if (json.contains("eos_token_id") && json["eos_token_id"].is_number_integer())
    c.end_of_text = get<int>(json, "eos_token_id", name);
  // reorder_and_upcast_attn computes scores in f32 whatever the storage: here they always are.
  get_or<bool>(json, "reorder_and_upcast_attn", name, false);

  check_sizes(c, {.width = "n_embd", .layers = "n_layer", .heads = "n_head"}, name);
  if (get_or<bool>(json, "add_cross_attention", name, false)) refuse(name, "'add_cross_attention' is not supported");
  if (json.contains("architectures") && json["architectures"].is_array())
    for (const auto& architecture : json["architectures"])
      if (architecture != "GPT2LMHeadModel" && architecture != "GPT2Model")
        refuse(name, "architecture " + printable(architecture.dump()) + " is not supported (GPT2LMHeadModel is)");
  return c;
}

bool matches(std::string_view text) {
  return get_or<std::string>(parse_json(text, "config.json"), "model_type", "config.json", "") == "gpt2";
}

Value block(GraphBuilder& b, const Config& c, int layer, Value x, Activation activation) {
  const std::string h = "transformer.h." + std::to_string(layer) + ".";
  float scale = c.scale ? 1 / std::sqrt(static_cast<float>(c.width / c.heads)) : 1.0f;
  if (c.scale_by_layer) scale /= static_cast<float>(layer + 1);

  const Value qkv = b.linear(h + "attn.c_attn", 3 * c.width, b.norm(h + "ln_1", c.epsilon, x), true);
  const Value mixed = b.attention(h + "attn", c.heads, layer, true, scale, qkv);
  x = b.residual(h + "attn.residual", b.linear(h + "attn.c_proj", c.width, mixed, true), x);

  const Value wide = b.linear(h + "mlp.c_fc", c.inner, b.norm(h + "ln_2", c.epsilon, x), true);
  const Value narrow = b.linear(h + "mlp.c_proj", c.width, b.activation(h + "mlp.act", activation, wide), true);
  return b.residual(h + "mlp.residual", narrow, x);
}

Graph build(std::string_view text, const std::string& name, Logits logits) {
  const Config c = read(parse_json(text, name), name);
  const Activation activation = activation_named(c.activation, name);
  Graph graph;
  graph.family = "gpt2";
  graph.task = Task::language_model;
  graph.vocabulary = c.vocabulary, graph.context = c.context, graph.width = c.width, graph.layers = c.layers,
  graph.heads = c.heads;
  graph.end_of_text = c.end_of_text;
  graph.base_prefix = "transformer.";

  GraphBuilder b(std::move(graph));
  Value x = b.embedding("transformer.wte", "transformer.wpe", false);
  for (int layer = 0; layer < c.layers; ++layer) x = block(b, c, layer, x, activation);
  x = b.norm("transformer.ln_f", c.epsilon, x);
  if (logits == Logits::last) x = b.select("last_position", true, x);
  const std::string weight = c.tied ? "transformer.wte.weight" : "lm_head.weight";
  return b.finish(b.head("lm_head", weight, "", c.vocabulary, c.tied ? "transformer.wte" : "", x));
}

}  // namespace

const ModelFamily& entry() {
  static constexpr SizeKey sizes[] = {{"layers", "n_layer"},        {"width", "n_embd"},        {"heads", "n_head"},
                                      {"vocabulary", "vocab_size"}, {"context", "n_positions"}, {"inner", "n_inner"}};
  static constexpr ModelFamily family{"gpt2", matches, build, sizes, "c_proj.weight"};
  return family;
}

}  // namespace eaq::model_gpt2

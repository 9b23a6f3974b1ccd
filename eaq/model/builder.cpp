#include "eaq/model/builder.h"

#include <array>

namespace eaq {

namespace {

constexpr int most_layers = 1000;  // a mistyped or hostile count must not become a Graph of gigabytes

}  // namespace

Value GraphBuilder::add_value(std::int64_t width, RowsPer rows) {
  graph_.values.push_back({width, rows, DType::f32});
  return static_cast<Value>(graph_.values.size()) - 1;
}

Value GraphBuilder::embedding(const std::string& token_site, const std::string& position_site, bool sinusoidal) {
  const WeightRef tokens{{token_site + ".weight"}, false, graph_.vocabulary, graph_.width};
  const WeightRef positions{{position_site + ".weight"}, false, graph_.context, graph_.width};
  const Value out = add_value(graph_.width, RowsPer::token);
  graph_.sites.push_back({token_site, StepKind::embedding, {token_site}, tokens, graph_.vocabulary * graph_.width, ""});
  graph_.sites.push_back({position_site, StepKind::embedding, {position_site}, positions, graph_.context * graph_.width, ""});
  graph_.parameters += (graph_.vocabulary + graph_.context) * graph_.width;
  graph_.nodes.push_back({token_site, StepKind::embedding, EmbeddingNode{tokens, position_site, positions, sinusoidal, out}});
  return out;
}

Value GraphBuilder::norm(const std::string& module, float epsilon, Value in) {
  const Value out = add_value(info(in).width, info(in).rows);
  graph_.parameters += 2 * info(in).width;
  graph_.nodes.push_back({module, StepKind::norm, NormNode{module + ".weight", module + ".bias", epsilon, in, out}});
  return out;
}

Value GraphBuilder::add_linear(Site site, std::vector<std::string> bias, Value in) {
  const WeightRef& weight = site.weight;
  site.parameters = weight.out_features * weight.in_features + (bias.empty() ? 0 : weight.out_features);
  graph_.parameters += site.tied_to.empty() ? site.parameters : 0;
  const Value out = add_value(weight.out_features, info(in).rows);
  graph_.nodes.push_back({site.id, site.kind, LinearNode{weight, std::move(bias), in, out}});
  graph_.sites.push_back(std::move(site));
  return out;
}

Value GraphBuilder::linear(const std::string& module, std::int64_t out_features, Value in, bool transposed) {
  const WeightRef weight{{module + ".weight"}, transposed, out_features, info(in).width};
  return add_linear({module, StepKind::linear, {module}, weight, 0, ""}, {module + ".bias"}, in);
}

Value GraphBuilder::fused_linear(const std::string& site, std::vector<std::string> modules, std::int64_t each_out, Value in) {
  WeightRef weight{{}, false, each_out * static_cast<std::int64_t>(modules.size()), info(in).width};
  std::vector<std::string> bias;
  for (const std::string& module : modules) {
    weight.tensors.push_back(module + ".weight");
    bias.push_back(module + ".bias");
  }
  return add_linear({site, StepKind::linear, std::move(modules), std::move(weight), 0, ""}, std::move(bias), in);
}

Value GraphBuilder::head(const std::string& site, const std::string& tensor, const std::string& bias, std::int64_t out_features,
                         const std::string& tied_to, Value in) {
  const WeightRef weight{{tensor}, false, out_features, info(in).width};
  return add_linear({site, StepKind::head, {site}, weight, 0, tied_to},
                    bias.empty() ? std::vector<std::string>{} : std::vector{bias}, in);
}

Value GraphBuilder::attention(const std::string& site, int heads, int layer, bool causal, float scale, Value in) {
  const std::int64_t width = info(in).width / 3;
  const Value out = add_value(width, info(in).rows);
  AttentionOp op;
  op.heads = heads, op.head_dim = static_cast<int>(width / heads), op.layer = layer;
  op.causal = causal, op.scale = scale, op.in = in, op.out = out;
  graph_.nodes.push_back({site, StepKind::attention, op});
  return out;
}

Value GraphBuilder::activation(const std::string& site, Activation activation, Value in) {
  const Value out = add_value(info(in).width, info(in).rows);
  graph_.nodes.push_back({site, StepKind::activation, ActivationOp{activation, in, out}});
  return out;
}

Value GraphBuilder::residual(const std::string& site, Value a, Value b) {
  const Value out = add_value(info(a).width, info(a).rows);
  graph_.nodes.push_back({site, StepKind::residual, ResidualOp{a, b, out}});
  return out;
}

Value GraphBuilder::select(const std::string& site, bool last, Value in) {
  const Value out = add_value(info(in).width, RowsPer::sequence);
  graph_.nodes.push_back({site, StepKind::other, SelectOp{last, in, out}});
  return out;
}

Graph GraphBuilder::finish(Value output) {
  graph_.output = output;
  return std::move(graph_);
}

Activation activation_named(const std::string& name, const std::string& config) {
  struct Row {
    std::string_view name;
    Activation activation;
  };
  // Names that Transformers gives to the same function stand side by side.
  static constexpr std::array<Row, 14> table{{{"gelu", Activation::gelu},
                                              {"gelu_python", Activation::gelu},
                                              {"gelu_new", Activation::gelu_tanh},
                                              {"gelu_fast", Activation::gelu_tanh},
                                              {"gelu_pytorch_tanh", Activation::gelu_tanh},
                                              {"gelu_python_tanh", Activation::gelu_tanh},
                                              {"gelu_accurate", Activation::gelu_tanh},
                                              {"quick_gelu", Activation::quick_gelu},
                                              {"relu", Activation::relu},
                                              {"silu", Activation::silu},
                                              {"swish", Activation::silu},
                                              {"tanh", Activation::tanh},
                                              {"sigmoid", Activation::sigmoid},
                                              {"linear", Activation::none}}};
  std::string known;
  for (const Row& row : table) {
    if (row.name == name) return row.activation;
    known += (known.empty() ? "" : ", ") + std::string(row.name);
  }
  throw Error(ErrorKind::input,
              config + ": the activation '" + printable(name) + "' is not supported (there are: " + known + ")");
}

void check_sizes(const ModelSizes& sizes, const SizeNames& names, const std::string& config) {
  for (const int size : {sizes.vocabulary, sizes.context, sizes.width, sizes.layers, sizes.heads, sizes.inner})
    if (size < 1) refuse(config, "a size is not positive");
  if (sizes.layers > most_layers)
    refuse(config, std::string(names.layers) + " " + std::to_string(sizes.layers) + " is beyond any model of this family");
  if (sizes.width % sizes.heads != 0)
    refuse(config, std::string(names.width) + " " + std::to_string(sizes.width) + " is not a multiple of " +
                       std::string(names.heads) + " " + std::to_string(sizes.heads));
}

void refuse(const std::string& config, const std::string& what) { throw Error(ErrorKind::input, config + ": " + what); }

}  // namespace eaq

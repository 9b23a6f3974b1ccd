// What families share when they write a Graph: values, nodes and sites in step, and the reading of common configuration entries.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "eaq/model/model.h"

namespace eaq {

class GraphBuilder {
 public:
  explicit GraphBuilder(Graph graph) : graph_(std::move(graph)) {}

  Value embedding(const std::string& token_site, const std::string& position_site, bool sinusoidal);
  Value norm(const std::string& module, float epsilon, Value in);
  /// A linear layer of one module, or of fused neighbours (`modules`) as one site called `site`.
  Value linear(const std::string& module, std::int64_t out_features, Value in, bool transposed = false);
  Value fused_linear(const std::string& site, std::vector<std::string> modules, std::int64_t each_out, Value in);
  Value attention(const std::string& site, int heads, int layer, bool causal, float scale, Value in);
  Value activation(const std::string& site, Activation activation, Value in);
  Value residual(const std::string& site, Value a, Value b);
  Value select(const std::string& site, bool last, Value in);
  /// The last product, whose rows are logits. `tensor` is its weight; `tied_to` names the embedding's site where they share it.
  Value head(const std::string& site, const std::string& tensor, const std::string& bias, std::int64_t out_features,
             const std::string& tied_to, Value in);

  Graph finish(Value output);

 private:
  Value add_value(std::int64_t width, RowsPer rows);
  const ValueInfo& info(Value v) const { return graph_.values[static_cast<std::size_t>(v)]; }
  Value add_linear(Site site, std::vector<std::string> bias, Value in);

  Graph graph_;
};

/// The Activation of a name in Hugging Face's ACT2FN. Error{input} for those that eaq does not compute.
Activation activation_named(const std::string& name, const std::string& config);

/// What every family's configuration says about sizes.
struct ModelSizes {
  int vocabulary, context, width, layers, heads, inner;
};

/// What the family's configuration calls them.
struct SizeNames {
  std::string_view width, layers, heads;
};

/// Error{input} where a size is not positive, the layers are beyond any model, or the heads do not share the width evenly.
void check_sizes(const ModelSizes& sizes, const SizeNames& names, const std::string& config);

/// Error{input}: "`config`: `what`".
[[noreturn]] void refuse(const std::string& config, const std::string& what);

}  // namespace eaq

// model: what a checkpoint computes. One folder per family turns config.json into a Graph of named sites; names are the
// checkpoint's.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "eaq/backend/backend.h"
#include "eaq/base/base.h"

namespace eaq {

enum class Task { classification, language_model };

/// Checkpoint tensors that make one weight matrix. Names carry the base model's prefix; the engine also finds them without it.
struct WeightRef {
  std::vector<std::string> tensors;  ///< fused neighbours (q, k, v) are several, stacked along the outputs
  bool transposed = false;           ///< stored [in, out], as GPT-2's Conv1D does
  std::int64_t out_features = 0, in_features = 0;
  bool zeros = false;  ///< ablated: zeros stand for what the tensors hold
};

// Nodes are the backend's ops with names in place of weights.

struct EmbeddingNode {
  WeightRef tokens;  ///< [vocabulary, width]
  std::string position_site;
  WeightRef positions;      ///< [positions, width]
  bool sinusoidal = false;  ///< positions may be missing from the checkpoint: they are then computed
  Value out = no_value;
};
struct LinearNode {
  WeightRef weight;
  std::vector<std::string> bias;  ///< one per tensor of `weight`, or none
  Value in = no_value, out = no_value;
};
struct NormNode {
  std::string gamma, beta;
  float epsilon = 1e-5f;
  Value in = no_value, out = no_value;
};
using NodeOp = std::variant<EmbeddingNode, LinearNode, NormNode, AttentionOp, ActivationOp, ResidualOp, SelectOp>;

struct Node {
  std::string site;  ///< module name in the checkpoint; for linear, head and embedding nodes the id of a Site
  StepKind kind = StepKind::other;
  NodeOp op;
};

/// A place where a format can be chosen.
struct Site {
  std::string id;                    ///< "transformer.h.0.mlp.c_fc"; fused neighbours share one: "...attention.qkv_lin"
  StepKind kind = StepKind::linear;  ///< linear, head or embedding
  std::vector<std::string> names;    ///< module names a recipe may use for it (q_lin, k_lin, v_lin)
  WeightRef weight;
  std::int64_t parameters = 0;  ///< of the weight and its bias
  std::string tied_to;          ///< the site whose tensor this one shares; empty: its own
};

struct Graph {
  std::string family;  ///< "gpt2", "distilbert"
  Task task = Task::language_model;
  std::int64_t vocabulary = 0, context = 0, width = 0, layers = 0, heads = 0, labels = 0;
  std::vector<std::string> label_names;
  std::int64_t end_of_text = -1;  ///< token that ends generation; -1: none
  std::string base_prefix;        ///< "transformer.": may be missing from checkpoint names
  std::vector<ValueInfo> values;  ///< dtype is the engine's to choose
  std::vector<Node> nodes;
  std::vector<Site> sites;
  Value output = no_value;
  std::int64_t parameters = 0;  ///< distinct ones: a tied head counts once

  const Site* site(std::string_view id_or_name) const;
};

enum class Logits { all, last };  ///< of a language model: every position's, or each sequence's last

/// A size as a person calls it ("layers"), and its entry in a family's configuration ("n_layer").
struct SizeKey {
  std::string_view size, key;
};

struct ModelFamily {
  std::string_view name;  ///< also its model_type
  /// Reads a parsed configuration given as JSON text (front doors are free of JSON types). Error{input} names an option that is
  /// not supported.
  bool (*matches)(std::string_view config_json);
  Graph (*build)(std::string_view config_json, const std::string& config_name, Logits logits);
  std::span<const SizeKey> sizes;     ///< those that a model without a checkpoint may be asked for
  std::string_view residual_weights;  ///< ends the names of the weights that its initialisation divides by sqrt(2 layers)
};

/// The Graph without what one site or other step does, to see what the answers owe to it. A linear layer, an embedding or an
/// attention gives zeros (of an attention, its projection's bias is left); a norm or an activation hands its input on; a residual
/// drops the older of its two inputs, the connection round a branch. Dropout is the identity at inference, and no step here.
/// Error{input} for a name that is no site and no step, or a step that computes nothing (a selection of rows).
Graph ablated(Graph graph, std::string_view site_or_step);

/// What ablated() takes, in the graph's order; embeddings' positions are sites of their own.
std::vector<std::string> ablatable(const Graph& graph);

std::span<const RegistryRow<ModelFamily>> model_families();

/// The Graph of a configuration in JSON; `name` is its file's, for messages. Error{input} for an architecture that no family
/// knows.
Graph graph_of_config(std::string_view config_json, const std::string& name, Logits logits = Logits::all);
/// The Graph of a folder's config.json. Error{input} for an architecture that no family knows.
Graph graph_of(const std::filesystem::path& model_dir, Logits logits = Logits::all);

}  // namespace eaq

#include <algorithm>

#include "eaq/model/model.h"

namespace eaq {
namespace {

// Every read of `from` becomes one of `to`.
void read_instead(Graph& graph, Value from, Value to) {
  const auto turn = [&](Value& v) {
    if (v == from) v = to;
  };
  for (Node& node : graph.nodes)
    std::visit(
        [&](auto& op) {
          using T = std::decay_t<decltype(op)>;
          if constexpr (std::is_same_v<T, ResidualOp>)
            turn(op.a), turn(op.b);
          else if constexpr (!std::is_same_v<T, EmbeddingNode>)
            turn(op.in);
        },
        node.op);
  if (graph.output == from) graph.output = to;
}

Value output_of(const Node& node) {
  return std::visit([](const auto& op) { return op.out; }, node.op);
}

// Where among the nodes a value is written.
std::size_t writer_of(const Graph& graph, Value value) {
  const auto found = std::find_if(graph.nodes.begin(), graph.nodes.end(), [&](const Node& n) { return output_of(n) == value; });
  return static_cast<std::size_t>(found - graph.nodes.begin());
}

void remove(Graph& graph, std::size_t index, Value instead) {
  const Value out = output_of(graph.nodes[index]);
  graph.nodes.erase(graph.nodes.begin() + static_cast<std::ptrdiff_t>(index));
  read_instead(graph, out, instead);
}

// A site of its own from here on: zeros are shared with nobody.
void make_zeros(Graph& graph, const std::string& site, WeightRef& weight) {
  weight.zeros = true;
  for (Site& one : graph.sites)
    if (one.id == site) one.weight.zeros = true, one.tied_to.clear();
}

// What an attention gives is read by its projection alone.
void silence(Graph& graph, const AttentionOp& attention) {
  for (Node& node : graph.nodes)
    if (auto* linear = std::get_if<LinearNode>(&node.op); linear != nullptr && linear->in == attention.out)
      make_zeros(graph, node.site, linear->weight);
}

}  // namespace

std::vector<std::string> ablatable(const Graph& graph) {
  std::vector<std::string> names;
  for (const Node& node : graph.nodes) {
    if (std::holds_alternative<SelectOp>(node.op)) continue;
    names.push_back(node.site);
    if (const auto* embedding = std::get_if<EmbeddingNode>(&node.op)) names.push_back(embedding->position_site);
  }
  return names;
}

Graph ablated(Graph graph, std::string_view name) {
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    Node& node = graph.nodes[i];
    if (auto* embedding = std::get_if<EmbeddingNode>(&node.op); embedding != nullptr && embedding->position_site == name) {
      make_zeros(graph, embedding->position_site, embedding->positions);
      return graph;
    }
    if (node.site != name || std::holds_alternative<SelectOp>(node.op)) continue;
    if (auto* embedding = std::get_if<EmbeddingNode>(&node.op)) {
      make_zeros(graph, node.site, embedding->tokens);
    } else if (auto* linear = std::get_if<LinearNode>(&node.op)) {
      make_zeros(graph, node.site, linear->weight);
      linear->bias.clear();
    } else if (const auto* attention = std::get_if<AttentionOp>(&node.op)) {
      silence(graph, AttentionOp(*attention));
    } else if (const auto* norm = std::get_if<NormNode>(&node.op)) {
      remove(graph, i, norm->in);
    } else if (const auto* activation = std::get_if<ActivationOp>(&node.op)) {
      remove(graph, i, activation->in);
    } else if (const auto* residual = std::get_if<ResidualOp>(&node.op)) {
      remove(graph, i, writer_of(graph, residual->a) > writer_of(graph, residual->b) ? residual->a : residual->b);
    }
    return graph;
  }
  throw Error(ErrorKind::input, "'" + printable(std::string(name)) + "' is no site and no step of this model that computes");
}

}  // namespace eaq

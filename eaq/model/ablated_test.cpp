#include <gtest/gtest.h>

#include <algorithm>

#include "eaq/model/model.h"

namespace eaq {
namespace {

Graph tiny(const std::string& name) { return graph_of(std::filesystem::path(EAQ_SOURCE_DIR) / "models" / name); }

std::size_t count(const Graph& graph, StepKind kind) {
  return static_cast<std::size_t>(
      std::count_if(graph.nodes.begin(), graph.nodes.end(), [&](const Node& node) { return node.kind == kind; }));
}

TEST(Ablated, NormsActivationsAndResidualsAreGone) {
  for (const std::string name : {"tiny-gpt2", "tiny-distilbert"}) {
    const Graph whole = tiny(name);
    for (const Node& node : whole.nodes) {
      if (node.kind != StepKind::norm && node.kind != StepKind::activation && node.kind != StepKind::residual) continue;
      const Graph without = ablated(whole, node.site);
      EXPECT_EQ(without.nodes.size(), whole.nodes.size() - 1) << node.site;
      EXPECT_EQ(count(without, node.kind), count(whole, node.kind) - 1) << node.site;
      EXPECT_EQ(without.values.size(), whole.values.size());
    }
  }
}

TEST(Ablated, AResidualLeavesItsBranch) {
  const Graph whole = tiny("tiny-gpt2");
  const auto residual = std::find_if(whole.nodes.begin(), whole.nodes.end(),
                                     [](const Node& node) { return std::holds_alternative<ResidualOp>(node.op); });
  ASSERT_NE(residual, whole.nodes.end());
  const Value branch = std::get<LinearNode>((residual - 1)->op).out;
  const Graph without = ablated(whole, residual->site);
  const Node& reader = without.nodes[static_cast<std::size_t>(residual - whole.nodes.begin())];
  EXPECT_EQ(std::get<NormNode>(reader.op).in, branch);
}

TEST(Ablated, SitesAreZerosAndTheirOwn) {
  const Graph whole = tiny("tiny-gpt2");
  for (const Site& site : whole.sites) {
    const Graph without = ablated(whole, site.id);
    for (const Site& one : without.sites) EXPECT_EQ(one.weight.zeros, one.id == site.id) << site.id;
    EXPECT_EQ(without.site(site.id)->tied_to, "");
  }
}

TEST(Ablated, WhatIsNoStepIsRefused) {
  EXPECT_THROW(ablated(tiny("tiny-gpt2"), "transformer.h.99.ln_1"), Error);
  EXPECT_EQ(ablatable(tiny("tiny-gpt2")).size(), tiny("tiny-gpt2").nodes.size() + 1);
}

}  // namespace
}  // namespace eaq

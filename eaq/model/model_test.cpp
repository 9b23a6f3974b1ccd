#include "eaq/model/model.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <functional>

namespace eaq {
namespace {

Graph gpt2(const std::string& extra, Logits logits = Logits::all) {
  for (const auto& row : model_families())
    if (row.name == "gpt2") return row.entry->build("{\"model_type\": \"gpt2\"" + extra + "}", "config.json", logits);
  throw Error(ErrorKind::bug, "no gpt2");
}
Graph distilbert(const std::string& extra) {
  for (const auto& row : model_families())
    if (row.name == "distilbert")
      return row.entry->build("{\"model_type\": \"distilbert\"" + extra + "}", "config.json", Logits::all);
  throw Error(ErrorKind::bug, "no distilbert");
}

std::string message_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::input);
    return e.what();
  }
  return "";
}

TEST(Gpt2, DefaultConfigurationHas124MillionParameters) { EXPECT_EQ(gpt2("").parameters, 124'439'808); }
TEST(DistilBert, DefaultConfigurationHas67MillionParameters) { EXPECT_EQ(distilbert("").parameters, 66'955'010); }
TEST(Gpt2, AnUntiedHeadCountsItsOwnParameters) {
  EXPECT_EQ(gpt2(R"(, "tie_word_embeddings": false)").parameters, 124'439'808 + 50257LL * 768);
}

TEST(Gpt2, RefusesCrossAttentionByName) {
  EXPECT_NE(message_of([] { gpt2(R"(, "add_cross_attention": true)"); }).find("add_cross_attention"), std::string::npos);
}
TEST(Gpt2, RefusesSizesByTheirNames) {
  EXPECT_EQ(message_of([] { gpt2(R"(, "n_layer": 0)"); }), "config.json: a size is not positive");
  EXPECT_EQ(message_of([] { gpt2(R"(, "n_layer": 1001)"); }), "config.json: n_layer 1001 is beyond any model of this family");
  EXPECT_NE(message_of([] { gpt2(R"(, "n_embd": 2147483647)"); }).find("n_embd 2147483647"), std::string::npos);
  EXPECT_EQ(message_of([] { gpt2(R"(, "n_head": 5)"); }), "config.json: n_embd 768 is not a multiple of n_head 5");
}
TEST(DistilBert, RefusesSizesByTheirNames) {
  EXPECT_EQ(message_of([] { distilbert(R"(, "vocab_size": -1)"); }), "config.json: a size is not positive");
  EXPECT_EQ(message_of([] { distilbert(R"(, "id2label": {})"); }), "config.json: a size is not positive");
  EXPECT_EQ(message_of([] { distilbert(R"(, "n_layers": 1001)"); }),
            "config.json: n_layers 1001 is beyond any model of this family");
  EXPECT_EQ(message_of([] { distilbert(R"(, "n_heads": 5)"); }), "config.json: dim 768 is not a multiple of n_heads 5");
}
TEST(Gpt2, RefusesAnUnknownActivationByName) {
  EXPECT_NE(message_of([] { gpt2(R"(, "activation_function": "snake")"); }).find("snake"), std::string::npos);
}
TEST(Gpt2, RefusesAnotherHead) {
  EXPECT_NE(message_of([] { gpt2(R"(, "architectures": ["GPT2ForTokenClassification"])"); }).find("GPT2ForTokenClassification"),
            std::string::npos);
}
TEST(Gpt2, RefusesHeadsThatDoNotDivideTheWidth) {
  EXPECT_NE(message_of([] { gpt2(R"(, "n_embd": 50, "n_head": 12)"); }).find("n_head"), std::string::npos);
}

TEST(DistilBert, FusedNeighboursAreOneSiteUnderEachOfTheirNames) {
  const Graph graph = distilbert("");
  const Site* site = graph.site("distilbert.transformer.layer.3.attention.k_lin");
  ASSERT_NE(site, nullptr);
  EXPECT_EQ(site, graph.site("distilbert.transformer.layer.3.attention.q_lin"));
  EXPECT_EQ(site->weight.out_features, 3 * 768);
}
TEST(DistilBert, LabelCountComesFromId2Label) {
  EXPECT_EQ(distilbert(R"(, "id2label": {"0": "a", "1": "b", "2": "c"})").labels, 3);
}

TEST(Graphs, EveryValueIsWrittenOnceBeforeItIsRead) {
  for (const Graph& graph : {gpt2(""), gpt2("", Logits::last), distilbert("")}) {
    std::vector<int> written(graph.values.size(), 0);
    for (const Node& node : graph.nodes) {
      std::visit(
          [&](const auto& op) {
            if constexpr (requires { op.in; }) {
              EXPECT_EQ(written[static_cast<std::size_t>(op.in)], 1) << node.site;
            }
            ++written[static_cast<std::size_t>(op.out)];
          },
          node.op);
    }
    for (const int times : written) EXPECT_EQ(times, 1);
  }
}

TEST(Graphs, AnUnknownArchitectureListsTheKnownOnes) {
  const auto folder = std::filesystem::temp_directory_path() / ("eaq-model-" + std::to_string(::getpid()));
  std::filesystem::create_directory(folder);
  write_text(folder / "config.json", R"({"model_type": "mamba"})");
  const std::string message = message_of([&] { graph_of(folder); });
  EXPECT_NE(message.find("mamba"), std::string::npos);
  EXPECT_NE(message.find("gpt2"), std::string::npos);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace eaq

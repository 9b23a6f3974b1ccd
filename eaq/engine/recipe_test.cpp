#include <unistd.h>

#include "eaq/engine/testing.h"

namespace eaq {
namespace {

class Recipes : public testing::Test {
 protected:
  Recipes()
      : graph_(graph_of(source_folder() / "models/tiny-gpt2")),
        file_(std::filesystem::temp_directory_path() / ("eaq-recipe-" + std::to_string(::getpid()) + ".json")) {}
  ~Recipes() override { std::filesystem::remove(file_); }

  Recipe read(const std::string& text) {
    write_text(file_, text);
    return read_recipe(graph_, file_);
  }
  std::string refusal(const std::string& text) {
    try {
      read(text);
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::input);
      return e.what();
    }
    ADD_FAILURE() << "was read: " << text;
    return "";
  }

  Graph graph_;
  std::filesystem::path file_;
};

TEST_F(Recipes, Int8CoversTheBlocksLinearLayersOnly) {
  const Recipe recipe = uniform_recipe(graph_, "int8");
  EXPECT_EQ(recipe.format_of("transformer.h.0.mlp.c_fc"), "int8");
  EXPECT_EQ(recipe.format_of("lm_head"), "fp32");
  EXPECT_EQ(recipe.format_of("transformer.wte"), "fp32");
}

TEST_F(Recipes, Int8HeadCoversEmbeddingAndHeadToo) {
  const Recipe recipe = uniform_recipe(graph_, "int8+head");
  EXPECT_EQ(recipe.format_of("lm_head"), "int8");
  EXPECT_EQ(recipe.format_of("transformer.wte"), "int8");
  EXPECT_EQ(recipe.format_of("transformer.wpe"), "fp32");
}

TEST_F(Recipes, SixteenBitsHalveTheSize) {
  EXPECT_EQ(stored_bytes(graph_, uniform_recipe(graph_, "fp32")), graph_.parameters * 4);
  EXPECT_EQ(stored_bytes(graph_, uniform_recipe(graph_, "fp16")), graph_.parameters * 2);
}

TEST_F(Recipes, ATiedHeadInAFormatOfItsOwnCountsAsASecondCopy) {
  const Recipe recipe = read(R"({"schema": "eaq.recipe/1", "default": "fp32", "sites": {"lm_head": "fp16"}})");
  EXPECT_EQ(stored_bytes(graph_, recipe), graph_.parameters * 4 + graph_.vocabulary * graph_.width * 2);
}

TEST_F(Recipes, SitesOverrideTheDefault) {
  const Recipe recipe =
      read(R"({"schema": "eaq.recipe/1", "default": "bf16", "sites": {"transformer.h.0.mlp.c_fc": "int8"}, "kv_cache": "fp16"})");
  EXPECT_EQ(recipe.base, "bf16");
  EXPECT_EQ(recipe.format_of("transformer.h.0.mlp.c_fc"), "int8");
  EXPECT_EQ(recipe.format_of("transformer.h.1.mlp.c_fc"), "bf16");
  EXPECT_EQ(recipe.kv_cache, "fp16");
}

TEST_F(Recipes, AMistypedSiteIsRefusedWithTheNearestName) {
  EXPECT_NE(
      refusal(R"({"schema": "eaq.recipe/1", "sites": {"transformer.h.0.mlp.c_fx": "int8"}})").find("transformer.h.0.mlp.c_fc"),
      std::string::npos);
}
TEST_F(Recipes, AnUnknownFormatIsRefusedWithTheListOfFormats) {
  EXPECT_NE(refusal(R"({"schema": "eaq.recipe/1", "default": "int7"})").find("int8"), std::string::npos);
}
TEST_F(Recipes, AnUnknownKeyIsRefused) {
  EXPECT_NE(refusal(R"({"schema": "eaq.recipe/1", "site": {}})").find("'site'"), std::string::npos);
}
TEST_F(Recipes, AnotherSchemaIsRefused) {
  EXPECT_NE(refusal(R"({"schema": "eaq.recipe/2"})").find("eaq.recipe/2"), std::string::npos);
}

TEST(FusedNeighbours, MustAgree) {
  const Graph graph = graph_of(source_folder() / "models/tiny-distilbert");
  const auto file = std::filesystem::temp_directory_path() / ("eaq-fused-" + std::to_string(::getpid()) + ".json");
  const std::string layer = "distilbert.transformer.layer.0.attention.";
  write_text(file, R"({"schema": "eaq.recipe/1", "sites": {")" + layer + R"(q_lin": "int8", ")" + layer + R"(k_lin": "fp16"}})");
  EXPECT_THROW(read_recipe(graph, file), Error);
  write_text(file, R"({"schema": "eaq.recipe/1", "sites": {")" + layer + R"(q_lin": "int8"}})");
  EXPECT_THROW(read_recipe(graph, file), Error);  // k and v would follow unasked
  write_text(file, R"({"schema": "eaq.recipe/1", "sites": {")" + layer + R"(qkv_lin": "int8"}})");
  EXPECT_EQ(read_recipe(graph, file).format_of(layer + "qkv_lin"), "int8");
  write_text(file, R"({"schema": "eaq.recipe/1", "sites": {")" + layer + R"(q_lin": "int8", ")" + layer + R"(k_lin": "int8", ")" +
                       layer + R"(v_lin": "int8"}})");
  EXPECT_EQ(read_recipe(graph, file).format_of(layer + "qkv_lin"), "int8");
  std::filesystem::remove(file);
}

}  // namespace
}  // namespace eaq

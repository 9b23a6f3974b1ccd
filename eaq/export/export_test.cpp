#include "eaq/export/export.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace eaq {
namespace {

class Exports : public testing::Test {
 protected:
  Exports() : folder_(std::filesystem::temp_directory_path() / ("eaq-export-" + std::to_string(::getpid()))) {
    std::filesystem::remove_all(folder_);
  }
  ~Exports() override { std::filesystem::remove_all(folder_); }
  std::filesystem::path folder_;
};

TEST_F(Exports, HalfPrecisionHoldsTheRoundedValuesInHalfTheBytes) {
  const Model model = open_model(std::string(EAQ_SOURCE_DIR) + "/models/tiny-gpt2");
  export_model(model, uniform_recipe(model.graph, "bf16"), "huggingface", folder_);
  const Model written = open_model(folder_.string());
  EXPECT_EQ(written.graph.parameters, model.graph.parameters);
  EXPECT_EQ(static_cast<std::int64_t>(written.checkpoint->total_bytes()), model.graph.parameters * 2);
  const std::string name = "transformer.h.1.mlp.c_fc.weight";
  const auto before = to_f32(model.tensor(name)), after = to_f32(written.tensor(name));
  for (std::size_t i = 0; i < before.size(); ++i) ASSERT_EQ(after[i], static_cast<float>(bf16(before[i])));
  EXPECT_TRUE(std::filesystem::exists(folder_ / "tokenizer.json"));
}

TEST_F(Exports, AFolderThatExistsIsNotTouched) {
  const Model model = open_model(std::string(EAQ_SOURCE_DIR) + "/models/tiny-gpt2");
  std::filesystem::create_directory(folder_);
  EXPECT_THROW(export_model(model, uniform_recipe(model.graph, "bf16"), "huggingface", folder_), Error);
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

TEST_F(Exports, AnEightBitRecipeIsRefusedWithTheSite) {
  const Model model = open_model(std::string(EAQ_SOURCE_DIR) + "/models/tiny-gpt2");
  try {
    export_model(model, uniform_recipe(model.graph, "int8"), "huggingface", folder_);
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("c_attn"), std::string::npos);
  }
  EXPECT_FALSE(std::filesystem::exists(folder_));
}

}  // namespace
}  // namespace eaq

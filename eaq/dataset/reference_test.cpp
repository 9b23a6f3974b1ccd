// The evaluation sets under real tokenizers. Counts and hashes (of the ids as 32-bit words) are those of Hugging Face's
// tokenizers for the same strings.
#include <gtest/gtest.h>

#include <cstdlib>

#include "eaq/dataset/dataset.h"
#include "eaq/text/text.h"

namespace eaq {
namespace {

std::string sum_of(const std::vector<std::int32_t>& ids) { return sha256(std::as_bytes(std::span(ids))); }

/// A full-size model's folder, empty where it is not there.
std::filesystem::path shared_model(const std::string& name) {
  const char* chosen = std::getenv("EAQ_SHARED");
  const auto folder = std::filesystem::path(chosen != nullptr ? chosen : EAQ_SOURCE_DIR "/../shared") / "models" / name;
  return std::filesystem::exists(folder / "tokenizer.json") ? folder : std::filesystem::path();
}

void expect_tokens(const std::filesystem::path& model, Join join, std::size_t count, const std::string& sum) {
  const TokenStream stream = prepare_tokens(default_data_path("wikitext2"), *load_tokenizer(model), {.join = join});
  EXPECT_EQ(stream.ids.size(), count);
  EXPECT_EQ(sum_of(stream.ids), sum);
}

TEST(WikiText2, HasTheReferenceTokensOfTinyGpt2) {
  const auto model = embedded_model_path("tiny-gpt2");
  ASSERT_TRUE(model);
  expect_tokens(*model, Join::raw, 374967, "d51c7092fbc25560e34af9b171bdd1e28f17fd750284b820698da0e622cfef42");
  expect_tokens(*model, Join::hf, 379316, "f57777133bd40d3043c56ff58fc71e8425b5a6ec282356aa5c22aa06691aa54b");
}

TEST(WikiText2, HasTheReferenceTokensOfGpt2) {
  const auto model = shared_model("gpt2-small");
  if (model.empty()) GTEST_SKIP() << "no gpt2-small beside the checkout (EAQ_SHARED names its place)";
  expect_tokens(model, Join::raw, 286221, "91b9603eafb80ba78f417de40b17c20cf87f84ea64dd5ee5ea9e2e49cb748188");
  expect_tokens(model, Join::hf, 287644, "ef6af648320b73e3cb62461c48c8e4539aec4d10c751005e32d690977f0b9ccf");
}

TEST(Sst2, HasTheReferenceTokensOfDistilbert) {
  const auto model = shared_model("distilbert-sst2");
  if (model.empty()) GTEST_SKIP() << "no distilbert-sst2 beside the checkout (EAQ_SHARED names its place)";
  const Sentences s = prepare_sentences(default_data_path("sst2"), *load_tokenizer(model), {});
  EXPECT_EQ(s.size(), 872u);
  EXPECT_EQ(s.ids.size(), 21943u);
  EXPECT_EQ(sum_of(s.ids), "4ef3fd77399b786d14f6032dce843c08b0d60f1c20a1f1b5a819276218f12e44");
  EXPECT_EQ(s.truncated, 0);
}

}  // namespace
}  // namespace eaq

#include "eaq/evaluate/evaluate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <iostream>

namespace eaq {
namespace {

const std::filesystem::path source = EAQ_SOURCE_DIR;

struct Loaded {
  std::shared_ptr<const PackedModel> packed;
  std::unique_ptr<Tokenizer> tokenizer;
};

Loaded load(const std::filesystem::path& folder, const std::string& format, const Device& device) {
  const Model model = open_model(folder.string());
  return {std::make_shared<PackedModel>(model, uniform_recipe(model.graph, format), device), load_tokenizer(folder)};
}

Quality perplexity_of(const std::filesystem::path& folder, std::int64_t window, std::int64_t limit) {
  const Loaded model = load(folder, "fp32", open_device("cpu"));
  const TokenStream text = prepare_tokens(default_data_path("wikitext2"), *model.tokenizer, {});
  const std::vector<Window> all =
      windows(static_cast<std::int64_t>(text.ids.size()), {.window = window, .stride = window, .limit = limit});
  return evaluate_perplexity(std::vector{model.packed}, text, all, {})[0];
}

Quality accuracy_of(const std::filesystem::path& folder, std::int64_t pad_to) {
  const Loaded model = load(folder, "fp32", open_device("cpu"));
  const Sentences sentences = prepare_sentences(default_data_path("sst2"), *model.tokenizer,
                                                {.max_length = static_cast<int>(model.packed->graph().context)});
  return evaluate_classification(std::vector{model.packed}, sentences, {.pad_to = pad_to})[0];
}

// 47.19 over the whole test set in windows of 256, by PyTorch when the model was trained (models/README.md).
TEST(Perplexity, OfTinyGpt2IsWhatPyTorchMeasured) {
  const Quality quality = perplexity_of(source / "models/tiny-gpt2", 256, 0);
  EXPECT_EQ(quality.n, 373'502);
  EXPECT_NEAR(quality.value, 47.1869, 0.005);
  EXPECT_LT(quality.low, quality.value);
  EXPECT_GT(quality.high, quality.value);
  EXPECT_EQ(quality.nan_inf, 0);
}

TEST(Accuracy, DoesNotDependOnPadding) {
  const Quality unpadded = accuracy_of(source / "models/tiny-distilbert", 0),
                padded = accuracy_of(source / "models/tiny-distilbert", 96);
  EXPECT_EQ(unpadded.n, 872);
  EXPECT_GT(unpadded.value, 0.80);
  EXPECT_EQ(unpadded.item_correct, padded.item_correct);
}

TEST(FullSize, FiguresAreThoseOfTheModelsReadme) {
  const char* models = std::getenv("EAQ_MODELS");
  if (models == nullptr) GTEST_SKIP() << "EAQ_MODELS does not name a folder with gpt2-small and distilbert-sst2";
  EXPECT_EQ(accuracy_of(std::filesystem::path(models) / "distilbert-sst2", 0).correct, 773);
  EXPECT_NEAR(perplexity_of(std::filesystem::path(models) / "gpt2-small", 1024, 4).value, 26.7287, 0.0267);
}

TEST(Lockstep, AModelDoesNotDivergeFromItselfAndEightBitsDo) {
  const Device device = open_device("cpu");
  const auto folder = source / "models/tiny-gpt2";
  const Loaded first = load(folder, "fp32", device), same = load(folder, "fp32", device), coarse = load(folder, "int8", device);
  const TokenStream text = prepare_tokens(default_data_path("wikitext2"), *first.tokenizer, {});
  const std::vector<Window> some =
      windows(static_cast<std::int64_t>(text.ids.size()), {.window = 128, .stride = 128, .limit = 6});
  const std::vector<Quality> q = evaluate_perplexity(std::vector{first.packed, same.packed, coarse.packed}, text, some, {});
  EXPECT_NEAR(*q[1].kl_mean, 0, 1e-9);
  EXPECT_EQ(*q[1].flips, 0);
  EXPECT_GT(*q[2].kl_mean, 1e-5);
  EXPECT_GT(*q[2].flips, 0);
  EXPECT_EQ(quality_delta(q[0], q[1]).p_value, 1);
  EXPECT_FALSE(q[0].ranges.empty());
}

TEST(Lockstep, WithoutAReferenceThereIsNoDivergence) {
  const Loaded model = load(source / "models/tiny-gpt2", "bf16", open_device("cpu"));
  const TokenStream text = prepare_tokens(default_data_path("wikitext2"), *model.tokenizer, {});
  const std::vector<Window> some = windows(static_cast<std::int64_t>(text.ids.size()), {.window = 64, .stride = 64, .limit = 2});
  const Quality quality = evaluate_perplexity(std::vector{model.packed}, text, some, {}, false)[0];
  EXPECT_FALSE(quality.kl_mean.has_value());
  EXPECT_FALSE(quality.flips.has_value());
}

TEST(Perplexity, OverlappingWindowsPredictEachTokenOnce) {
  const Loaded model = load(source / "models/tiny-gpt2", "fp32", open_device("cpu"));
  const TokenStream text = prepare_tokens(default_data_path("wikitext2"), *model.tokenizer, {});
  const std::vector<Window> overlapping =
      windows(static_cast<std::int64_t>(text.ids.size()), {.window = 128, .stride = 32, .limit = 5});
  const Quality quality = evaluate_perplexity(std::vector{model.packed}, text, overlapping, {})[0];
  EXPECT_EQ(quality.n, 127 + 4 * 32);
}

// ---- On every device that is fast, against the processor

std::vector<std::string> cards_here() {
  std::vector<std::string> names;
  for (const auto& row : backends())
    if (row.entry != nullptr && row.name != "cpu" && row.name != "ref" && row.entry->unavailable_reason().empty())
      names.emplace_back(row.name);
  return names;
}

const std::vector<std::string> compared{"fp32", "fp16", "bf16"};

std::vector<Quality> perplexities_on(const std::string& name) {
  const Device device = open_device(name);
  std::vector<std::shared_ptr<const PackedModel>> models;
  for (const std::string& format : compared) models.push_back(load(source / "models/tiny-gpt2", format, device).packed);
  const auto tokenizer = load_tokenizer(source / "models/tiny-gpt2");
  const TokenStream text = prepare_tokens(default_data_path("wikitext2"), *tokenizer, {});
  return evaluate_perplexity(models, text,
                             windows(static_cast<std::int64_t>(text.ids.size()), {.window = 64, .stride = 48, .limit = 4}),
                             {.range_samples = 1});
}

std::vector<Quality> accuracies_on(const std::string& name) {
  const Device device = open_device(name);
  std::vector<std::shared_ptr<const PackedModel>> models;
  for (const std::string& format : compared) models.push_back(load(source / "models/tiny-distilbert", format, device).packed);
  const auto tokenizer = load_tokenizer(source / "models/tiny-distilbert");
  Sentences sentences = prepare_sentences(default_data_path("sst2"), *tokenizer,
                                          {.max_length = static_cast<int>(models[0]->graph().context), .limit = 24});
  return evaluate_classification(models, sentences, {.batch = 17, .range_samples = 1});
}

// `share` of a divergence is what other orders of summation and other roundings in between may add: a card may fold a norm into a
// weight, which is rounded then though it was exact before. It may be less, and a value may be missing from the ranges, where
// steps are one: then nothing is rounded between them, and nothing seen.
void expect_same_quality(const std::vector<Quality>& got, const std::vector<Quality>& wanted, double share) {
  ASSERT_EQ(got.size(), wanted.size());
  for (std::size_t f = 0; f < wanted.size(); ++f) {
    const Quality &a = got[f], &b = wanted[f];
    EXPECT_EQ(a.n, b.n) << compared[f];
    EXPECT_EQ(a.nan_inf, b.nan_inf) << compared[f];
    EXPECT_FALSE(a.ranges.empty()) << compared[f];
    for (const SiteRange& range : a.ranges)
      EXPECT_TRUE(std::any_of(b.ranges.begin(), b.ranges.end(), [&](const SiteRange& other) { return other.site == range.site; }))
          << compared[f] << ": " << range.site;
    ASSERT_EQ(a.item_nll.size(), b.item_nll.size()) << compared[f];
    const double relative = f == 0 ? 1e-5 : 4e-3;
    for (std::size_t i = 0; i < b.item_nll.size(); ++i)
      EXPECT_NEAR(a.item_nll[i], b.item_nll[i], relative * b.item_nll[i]) << compared[f] << ", window " << i;
    EXPECT_NEAR(a.value, b.value, relative * b.value) << compared[f];
    if (f == 0) {
      EXPECT_EQ(a.item_correct, b.item_correct);
      continue;
    }
    EXPECT_GE(*a.kl_mean, 0.1 * *b.kl_mean - 5e-8) << compared[f] << ": is it that format at all?";
    EXPECT_LE(*a.kl_mean, (1 + share) * *b.kl_mean + 5e-8) << compared[f];
    EXPECT_NEAR(static_cast<double>(*a.flips), static_cast<double>(*b.flips), 3 + 0.5 * static_cast<double>(*b.flips))
        << compared[f];
  }
}

TEST(Card, PerplexityIsTheProcessors) {
  if (cards_here().empty()) GTEST_SKIP() << "no card can be used here";
  const std::vector<Quality> wanted = perplexities_on("cpu");
  for (const std::string& card : cards_here()) expect_same_quality(perplexities_on(card), wanted, 0.3);
}

TEST(Card, AccuracyIsTheProcessors) {
  if (cards_here().empty()) GTEST_SKIP() << "no card can be used here";
  const std::vector<Quality> wanted = accuracies_on("cpu");
  for (const std::string& card : cards_here()) expect_same_quality(accuracies_on(card), wanted, 0.5);
}

// Trained stand-ins may be exact in bf16; these weights have full mantissas. KL(fp32 || format), nats a token.
void expect_little_divergence(const std::string& random_weights, std::int64_t length) {
  const Model model = open_model(random_weights);
  TokenStream text;
  for (std::int64_t i = 0; i < 2 * length; ++i) text.ids.push_back(static_cast<std::int32_t>(i * 7919 % model.graph.vocabulary));
  for (const std::string& card : cards_here()) {
    const Device device = open_device(card);
    std::vector<std::shared_ptr<const PackedModel>> models;
    for (const std::string& format : compared)
      models.push_back(std::make_shared<PackedModel>(model, uniform_recipe(model.graph, format), device));
    const std::vector<Quality> q = evaluate_perplexity(
        models, text, windows(2 * length, {.window = length, .stride = length, .limit = 2}), {.range_samples = 0});
    EXPECT_LE(*q[1].kl_mean, 1e-5) << card;
    EXPECT_GT(*q[1].kl_mean, 1e-10) << card;
    EXPECT_LE(*q[2].kl_mean, 4e-4) << card;
    EXPECT_GT(*q[2].kl_mean, *q[1].kl_mean) << card;
    std::cout << card << ", " << random_weights << ": fp16 " << *q[1].kl_mean << ", bf16 " << *q[2].kl_mean << " nats\n";
  }
}

TEST(Card, RandomWeightsWithFullMantissasDivergeAsLittle) {
  if (cards_here().empty()) GTEST_SKIP() << "no card can be used here";
  expect_little_divergence("synthetic:gpt2?layers=2&width=256&heads=4&vocabulary=4096", 32);
}

TEST(FullSize, RandomWeightsWithFullMantissasDivergeAsLittle) {
  if (std::getenv("EAQ_REQUIRE_GPU") == nullptr) GTEST_SKIP() << "without EAQ_REQUIRE_GPU: an emulated card takes too long";
  expect_little_divergence("synthetic:gpt2", 1024);
}

TEST(Delta, OfAnswersThatAreNotNumbersHasNoPValue) {
  Quality a, b;
  a.metric = b.metric = "perplexity";
  a.n = b.n = 20;
  a.item_nll = {20, 30}, b.item_nll = {21, std::nan("")};
  a.item_tokens = b.item_tokens = {10, 10};
  EXPECT_TRUE(std::isnan(quality_delta(a, b).p_value));
}

TEST(Delta, OfQualitiesIsSecondMinusFirst) {
  Quality a, b;
  a.metric = b.metric = "accuracy";
  a.n = b.n = 4;
  a.item_correct = {true, true, false, true}, b.item_correct = {true, false, false, false};
  a.value = 0.75, b.value = 0.25;
  EXPECT_DOUBLE_EQ(quality_delta(a, b).delta, -0.5);
  EXPECT_DOUBLE_EQ(quality_delta(a, b).p_value, 0.5);  // two of two against: 2 x 1/4
}

}  // namespace
}  // namespace eaq

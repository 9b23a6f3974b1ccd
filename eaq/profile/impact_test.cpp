#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "eaq/evaluate/evaluate.h"
#include "eaq/profile/profile.h"

namespace eaq {
namespace {

const std::filesystem::path source = EAQ_SOURCE_DIR;

// A model on the processor in fp32, and something to judge it on.
struct Judged {
  Model model;
  std::shared_ptr<const PackedModel> fp32;
  TokenStream stream;
  std::vector<Window> windows;
  Sentences sentences;

  explicit Judged(const std::string& name) : model(open_model((source / "models" / name).string())) {
    fp32 = std::make_shared<PackedModel>(model, uniform_recipe(model.graph, "fp32"), open_device("cpu", {.threads = 2}));
    const auto tokenizer = load_tokenizer(source / "models" / name);
    if (model.graph.task == Task::classification) {
      sentences = prepare_sentences(default_data_path("sst2"), *tokenizer,
                                    {.max_length = static_cast<int>(model.graph.context), .limit = 96});
      return;
    }
    stream = prepare_tokens(default_data_path("wikitext2"), *tokenizer, {});
    windows = eaq::windows(static_cast<std::int64_t>(stream.ids.size()), {.window = 64, .stride = 64, .limit = 6});
  }

  ImpactData data() const {
    if (model.graph.task == Task::classification) return {.sentences = &sentences};
    return {.stream = &stream, .windows = windows};
  }
  std::vector<Impact> with(const ImpactOptions& options) const { return impacts(model, fp32, data(), options); }
};

TEST(Impact, OfASiteInTheReferencesOwnFormatIsNothing) {
  for (const std::string name : {"tiny-gpt2", "tiny-distilbert"}) {
    const Judged judged(name);
    const std::vector<Impact> found = judged.with({.formats = {"fp32"}});
    ASSERT_EQ(found.size(), judged.model.graph.sites.size()) << name;
    for (const Impact& impact : found) {
      EXPECT_NEAR(impact.kl.mean, 0, 1e-9) << impact.site;
      EXPECT_EQ(impact.flips, 0) << impact.site;
      EXPECT_EQ(impact.delta_nll.value_or(Interval{}).mean, 0) << impact.site;
      EXPECT_EQ(impact.accuracy_delta.value_or(Interval{}).mean, 0) << impact.site;
      EXPECT_TRUE(impact.delta_nll && impact.accuracy_delta) << impact.site;
    }
  }
}

TEST(Impact, IsWhatARecipeWithThatSiteChangedLoses) {
  const Judged judged("tiny-gpt2");
  const std::vector<Impact> found = judged.with({.formats = {"int8"}, .at_once = 3});
  ASSERT_EQ(found.size(), judged.model.graph.sites.size());
  const std::string site = "transformer.h.1.mlp.c_fc";
  const auto one = std::find_if(found.begin(), found.end(), [&](const Impact& i) { return i.site == site; });
  ASSERT_NE(one, found.end());
  Recipe recipe = uniform_recipe(judged.model.graph, "fp32");
  recipe.sites[site] = "int8";
  const auto alone = std::make_shared<const PackedModel>(judged.model, recipe, judged.fp32->device());
  const std::vector<Quality> q = evaluate_perplexity(std::vector{judged.fp32, alone}, judged.stream, judged.windows, {});
  EXPECT_NEAR(one->kl.mean, *q[1].kl_mean, 1e-12);
  EXPECT_EQ(one->flips, *q[1].flips);
  EXPECT_EQ(one->n, q[1].n);
  EXPECT_GT(one->kl.mean, 0);
  EXPECT_LT(one->kl.low, one->kl.mean);
  ASSERT_TRUE(one->delta_nll);
  const double log_ratio = std::log(q[1].value) - std::log(q[0].value);
  EXPECT_NEAR(one->delta_nll->mean, log_ratio, 1e-9);
  std::int64_t gained = 0;
  for (std::size_t w = 0; w < judged.windows.size(); ++w) gained += q[1].item_hits[w] - q[0].item_hits[w];
  EXPECT_NEAR(one->accuracy_delta.value().mean, static_cast<double>(gained) / static_cast<double>(one->n), 1e-12);
}

TEST(Impact, OfAClassifierIsToldByItsLabelsToo) {
  const Judged judged("tiny-distilbert");
  const std::string site = "classifier";
  const std::vector<Impact> found =
      judged.with({.ablations = true, .is_known = [&](const auto& one, const auto&) { return one != site; }});
  ASSERT_EQ(found.size(), 1u);
  const Quality fp32 = evaluate_classification(std::vector{judged.fp32}, judged.sentences, {}, false)[0];
  double nll = 0;
  for (const double one : fp32.item_nll) nll += one / static_cast<double>(fp32.n);
  // Without it both answers are as likely.
  EXPECT_NEAR(found[0].delta_nll.value().mean, std::log(2.0) - nll, 1e-4);
}

TEST(Impact, ACoarserFormatOfTheSameSiteLosesMore) {
  const Judged judged("tiny-distilbert");
  const std::vector<Impact> found = judged.with({.formats = {"bf16", "int8"}});
  double fine = 0, coarse = 0;
  for (const Impact& impact : found) {
    (impact.format == "bf16" ? fine : coarse) += impact.kl.mean;
    EXPECT_TRUE(impact.accuracy_delta) << impact.site;
    EXPECT_EQ(impact.n, 96);
  }
  EXPECT_GT(fine, 0);
  EXPECT_GT(coarse, fine);
}

TEST(Impact, WhatIsKnownIsNotDoneAgain) {
  const Judged judged("tiny-distilbert");
  std::set<std::string> told;
  const std::string known = judged.model.graph.sites.back().id;
  double last = 0;
  const std::vector<Impact> found = judged.with({.formats = {"fp16"},
                                                 .is_known = [&](const auto& site, const auto&) { return site == known; },
                                                 .on_result = [&](const Impact& i) { told.insert(i.site); },
                                                 .on_progress =
                                                     [&](double part) {
                                                       EXPECT_GE(part, last);
                                                       EXPECT_LE(last = part, 1);
                                                     }});
  EXPECT_EQ(found.size(), judged.model.graph.sites.size() - 1);
  EXPECT_EQ(told.size(), found.size());
  EXPECT_EQ(told.count(known), 0u);
}

TEST(Impact, OfASingleWindowHasAnIntervalWithoutEnd) {
  Judged judged("tiny-gpt2");
  judged.windows.resize(1);
  const std::string site = "transformer.h.0.mlp.c_fc";
  const std::vector<Impact> found =
      judged.with({.formats = {"int8"}, .is_known = [&](const auto& one, const auto&) { return one != site; }});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_GT(found[0].kl.mean, 0);
  EXPECT_TRUE(std::isinf(found[0].kl.high));
  EXPECT_TRUE(std::isinf(found[0].delta_nll.value().low));
}

// Every step is needed by a model that was trained with it; and what stays as it was is shared.
TEST(Impact, OfAnAblationIsSomethingForEverySiteAndStep) {
  for (const std::string name : {"tiny-gpt2", "tiny-distilbert"}) {
    const Judged judged(name);
    const std::vector<Impact> found = judged.with({.ablations = true});
    const std::vector<std::string> names = ablatable(judged.model.graph);
    ASSERT_EQ(found.size(), names.size()) << name;
    for (std::size_t i = 0; i < found.size(); ++i) {
      EXPECT_EQ(found[i].site, names[i]);
      EXPECT_EQ(found[i].format, "");
      EXPECT_GT(found[i].kl.mean, 1e-6) << name << ": " << found[i].site;
      EXPECT_TRUE(std::isfinite(found[i].kl.mean)) << name << ": " << found[i].site;
    }
  }
}

// Without its head a model holds every token for as likely: the divergence is the logarithm of their number less the entropy.
TEST(Impact, WithoutItsHeadAModelKnowsNothing) {
  const Judged judged("tiny-gpt2");
  const Site& head = judged.model.graph.sites.back();
  ASSERT_EQ(head.kind, StepKind::head);
  const std::vector<Impact> found =
      judged.with({.ablations = true, .is_known = [&](const auto& site, const auto&) { return site != head.id; }});
  ASSERT_EQ(found.size(), 1u);
  const double uniform = std::log(static_cast<double>(judged.model.graph.vocabulary));
  const Quality fp32 = evaluate_perplexity(std::vector{judged.fp32}, judged.stream, judged.windows, {}, false)[0];
  EXPECT_NEAR(found[0].delta_nll.value().mean, uniform - std::log(fp32.value), 1e-4);
  EXPECT_LT(found[0].kl.mean, uniform);
}

}  // namespace
}  // namespace eaq

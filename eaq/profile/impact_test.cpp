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
  std::vector<SiteImpact> impacts(const ImpactOptions& options) const { return site_impacts(model, fp32, data(), options); }
};

TEST(Impact, OfASiteInTheReferencesOwnFormatIsNothing) {
  for (const std::string name : {"tiny-gpt2", "tiny-distilbert"}) {
    const Judged judged(name);
    const std::vector<SiteImpact> impacts = judged.impacts({.formats = {"fp32"}});
    ASSERT_EQ(impacts.size(), judged.model.graph.sites.size()) << name;
    for (const SiteImpact& impact : impacts) {
      EXPECT_NEAR(impact.kl.mean, 0, 1e-9) << impact.site;
      EXPECT_EQ(impact.flips, 0) << impact.site;
      EXPECT_EQ(impact.delta_nll.value_or(Interval{}).mean, 0) << impact.site;
      EXPECT_EQ(impact.accuracy_delta.value_or(Interval{}).mean, 0) << impact.site;
      EXPECT_NE(impact.delta_nll.has_value(), impact.accuracy_delta.has_value()) << impact.site;
    }
  }
}

TEST(Impact, IsWhatARecipeWithThatSiteChangedLoses) {
  const Judged judged("tiny-gpt2");
  const std::vector<SiteImpact> impacts = judged.impacts({.formats = {"int8"}, .at_once = 3});
  ASSERT_EQ(impacts.size(), judged.model.graph.sites.size());
  const std::string site = "transformer.h.1.mlp.c_fc";
  const auto found = std::find_if(impacts.begin(), impacts.end(), [&](const SiteImpact& i) { return i.site == site; });
  ASSERT_NE(found, impacts.end());
  Recipe recipe = uniform_recipe(judged.model.graph, "fp32");
  recipe.sites[site] = "int8";
  const auto alone = std::make_shared<const PackedModel>(judged.model, recipe, judged.fp32->device());
  const std::vector<Quality> q = evaluate_perplexity(std::vector{judged.fp32, alone}, judged.stream, judged.windows, {});
  EXPECT_NEAR(found->kl.mean, *q[1].kl_mean, 1e-12);
  EXPECT_EQ(found->flips, *q[1].flips);
  EXPECT_EQ(found->n, q[1].n);
  EXPECT_GT(found->kl.mean, 0);
  EXPECT_LT(found->kl.low, found->kl.mean);
  ASSERT_TRUE(found->delta_nll);
  const double log_ratio = std::log(q[1].value) - std::log(q[0].value);
  EXPECT_NEAR(found->delta_nll->mean, log_ratio, 1e-9);
}

TEST(Impact, ACoarserFormatOfTheSameSiteLosesMore) {
  const Judged judged("tiny-distilbert");
  const std::vector<SiteImpact> impacts = judged.impacts({.formats = {"bf16", "int8"}});
  double fine = 0, coarse = 0;
  for (const SiteImpact& impact : impacts) {
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
  const std::vector<SiteImpact> impacts =
      judged.impacts({.formats = {"fp16"},
                      .is_known = [&](const auto& site, const auto&) { return site == known; },
                      .on_result = [&](const SiteImpact& i) { told.insert(i.site); },
                      .on_progress =
                          [&](double part) {
                            EXPECT_GE(part, last);
                            EXPECT_LE(last = part, 1);
                          }});
  EXPECT_EQ(impacts.size(), judged.model.graph.sites.size() - 1);
  EXPECT_EQ(told.size(), impacts.size());
  EXPECT_EQ(told.count(known), 0u);
}

}  // namespace
}  // namespace eaq

#include <gtest/gtest.h>

#include <algorithm>

#include "eaq/profile/findings.h"
#include "eaq/profile/testing.h"
#include "eaq/stats/stats.h"

namespace eaq {
namespace {

using profile_testing::figure;
using profile_testing::gpt2;
using profile_testing::kl;

const std::string fc = "transformer.h.*.mlp.c_fc", qkv = "transformer.h.*.attn.c_attn";

GuidelineRecord of(const std::vector<GuidelineRecord>& all, const std::string& group) {
  const auto found = std::find_if(all.begin(), all.end(), [&](const auto& g) { return g.site_group == group; });
  return found != all.end() ? *found : GuidelineRecord{};
}

ImpactRecord language(double kl_mean, double nll, double half) {
  ImpactRecord impact = kl(kl_mean, half);
  impact.delta_nll = figure(nll, half);
  return impact;
}

Profile with(const ImpactRecord& of_fc, const ImpactRecord& of_qkv) {
  Profile p = gpt2(4);
  for (SiteRecord& s : p.sites) {
    if (group_of(s.site) == fc) s.impact["int8"] = of_fc;
    if (group_of(s.site) == qkv) s.impact["int8"] = of_qkv;
  }
  return p;
}

TEST(Groups, AreWhatStandsAtOnePlaceInEveryLayer) {
  EXPECT_EQ(group_of("transformer.h.3.mlp.c_fc"), fc);
  EXPECT_EQ(group_of("distilbert.transformer.layer.11.ffn.lin1"), "distilbert.transformer.layer.*.ffn.lin1");
  EXPECT_EQ(group_of("lm_head"), "lm_head");
  EXPECT_EQ(group_of("a.1b.2"), "a.1b.*");
}

TEST(Guidelines, FollowTheFiguresAndNotTheNames) {
  const ImpactRecord harmless = language(1e-5, 0, 1e-5), costly = language(5e-2, 4e-2, 1e-3);
  const auto straight = guidelines(with(harmless, costly)), swapped = guidelines(with(costly, harmless));
  ASSERT_EQ(straight.size(), 2u);
  EXPECT_EQ(of(straight, fc).advice, "quantise");
  EXPECT_EQ(of(straight, qkv).advice, "keep");
  EXPECT_EQ(of(swapped, fc).advice, "keep");
  EXPECT_EQ(of(swapped, qkv).advice, "quantise");
}

TEST(Guidelines, OfNoiseSayThatNoDifferenceIsShown) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    Rng rng(seed);
    Profile p = gpt2(4);
    constexpr double error = 0.01;  // as large as all that may be lost
    for (SiteRecord& s : p.sites)
      if (s.parameters > 0) s.impact["int8"] = language(0.5 * error * rng.uniform(), error * rng.normal(), 1.96 * error);
    for (const GuidelineRecord& g : guidelines(p)) EXPECT_EQ(g.advice, "no difference shown") << seed << ": " << g.evidence;
  }
}

TEST(Guidelines, OfWhatALossLeavesOpenSayNothing) {
  const auto found = guidelines(with(language(1e-3, 0, 2e-2), language(1e-5, 0, 1e-5)));
  EXPECT_EQ(of(found, fc).advice, "no difference shown");
  EXPECT_NE(of(found, fc).evidence.find("more data"), std::string::npos) << of(found, fc).evidence;
}

TEST(Guidelines, ALossOfAccuracyIsEnoughToKeep) {
  ImpactRecord fine = kl(1e-5, 1e-6), lost = fine, coarse = fine;
  fine.accuracy_delta = figure(0, 0.004);
  lost.accuracy_delta = figure(-0.008, 0.004);
  coarse.accuracy_delta = figure(0, 0.04);  // too few sentences to exclude a loss of a point
  EXPECT_EQ(of(guidelines(with(fine, lost)), fc).advice, "quantise");
  EXPECT_EQ(of(guidelines(with(fine, lost)), qkv).advice, "keep");
  EXPECT_EQ(of(guidelines(with(fine, coarse)), qkv).advice, "no difference shown");
}

TEST(Guidelines, JudgeALanguageModelByItsNllAndAClassifierByItsAccuracy) {
  ImpactRecord impact = language(1e-5, 0, 1e-5);
  impact.accuracy_delta = figure(-1e-4, 5e-5);  // shown, and nothing to a language model
  Profile p = with(impact, impact);
  EXPECT_EQ(of(guidelines(p), fc).advice, "quantise");
  p.run.unit = "sentence";
  EXPECT_EQ(of(guidelines(p), fc).advice, "keep");
}

TEST(Guidelines, NeedEverySiteOfAGroup) {
  Profile p = with(language(1e-5, 0, 1e-5), language(1e-5, 0, 1e-5));
  std::find_if(p.sites.begin(), p.sites.end(), [](const SiteRecord& s) { return group_of(s.site) == fc; })->impact.clear();
  EXPECT_EQ(of(guidelines(p), fc).advice, "no difference shown");
  EXPECT_NE(of(guidelines(p), fc).evidence.find("3 of 4 sites"), std::string::npos);
  EXPECT_EQ(of(guidelines(p), qkv).advice, "quantise");
}

TEST(Guidelines, AFormatThatSavesNothingIsNotAdvised) {
  Profile p = with(language(1e-5, 0, 1e-5), language(1e-5, 0, 1e-5));
  for (SiteRecord& s : p.sites)
    if (!s.impact.empty()) s.impact["tf32"] = s.impact["int8"];
  for (const GuidelineRecord& g : guidelines(p)) EXPECT_EQ(g.advice, g.format == "int8" ? "quantise" : "no difference shown");
}

TEST(Guidelines, MoreTestsAskForMoreEvidence) {
  // The group's own interval ends just inside its part; widened for ten tests it does not.
  const double part = whole_loss_nats / 2;
  Profile p = with(kl(part / 8, part / 8 * 0.95), kl(part / 8, part / 8 * 0.95));
  for (SiteRecord& s : p.sites)
    if (!s.impact.empty()) s.impact["int8"].kl = figure(part / 8, part / 8 * 0.85);
  EXPECT_EQ(of(guidelines(p), fc).advice, "quantise");
  for (SiteRecord& s : p.sites)
    if (!s.impact.empty())
      for (const char* more : {"a", "b", "c", "d"}) s.impact[more] = s.impact["int8"];
  for (const GuidelineRecord& g : guidelines(p)) EXPECT_EQ(g.advice, "no difference shown");
}

TEST(Guidelines, WeightsThatTwoShareAreSavedWhereBothAreQuantised) {
  const ImpactRecord harmless = language(1e-5, 0, 1e-5), costly = language(5e-2, 4e-2, 1e-3);
  Profile p = gpt2(1);
  SiteRecord &embedding = p.sites.front(), &head = p.sites.back();
  head.notes = {"shares its weights with transformer.wte"};
  head.impact["int8"] = harmless;
  EXPECT_EQ(of(guidelines(p), "lm_head").advice, "no difference shown");
  EXPECT_NE(of(guidelines(p), "lm_head").evidence.find("would keep its own"), std::string::npos);
  embedding.impact["int8"] = costly;
  EXPECT_EQ(of(guidelines(p), "lm_head").advice, "no difference shown");
  EXPECT_EQ(of(guidelines(p), "transformer.wte").advice, "keep");
  embedding.impact["int8"] = harmless;
  EXPECT_EQ(of(guidelines(p), "lm_head").advice, "quantise");
  EXPECT_EQ(of(guidelines(p), "transformer.wte").advice, "quantise");
  head.impact["int8"] = costly;
  EXPECT_EQ(of(guidelines(p), "transformer.wte").advice, "no difference shown");
}

TEST(Guidelines, AFormatWithoutAKernelHereIsNotAdvised) {
  ImpactRecord harmless = language(1e-5, 0, 1e-5), costly = language(5e-2, 4e-2, 1e-3);
  harmless.emulated = costly.emulated = true;
  const auto found = guidelines(with(harmless, costly));
  EXPECT_EQ(of(found, fc).advice, "no difference shown");
  EXPECT_NE(of(found, fc).evidence.find("no kernel"), std::string::npos) << of(found, fc).evidence;
  EXPECT_EQ(of(found, qkv).advice, "keep");
}

TEST(Guidelines, EvidenceHasTheFigures) {
  Profile p = with(language(1e-5, 0, 1e-5), language(5e-2, 4e-2, 1e-3));
  for (SiteRecord& s : p.sites) s.mJ = figure(1, 0.1), s.share = 1.0 / 32;
  const std::string text = of(guidelines(p), fc).evidence;
  EXPECT_NE(text.find("4 sites, 12.5 % of the joules, weights 15.3 MiB instead of 61"), std::string::npos) << text;
  EXPECT_NE(text.find("0 flips of 10000 x 4"), std::string::npos) << text;
}

}  // namespace
}  // namespace eaq

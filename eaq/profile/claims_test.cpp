#include <gtest/gtest.h>

#include <algorithm>

#include "eaq/profile/findings.h"
#include "eaq/profile/testing.h"

namespace eaq {
namespace {

using profile_testing::figure;
using profile_testing::gpt2;
using profile_testing::kl;
using profile_testing::row;

ClaimRecord about(const std::vector<ClaimRecord>& all, const std::string& words) {
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const auto& c) { return c.claim.find(words) != std::string::npos; });
  return found != all.end() ? *found : ClaimRecord{};
}

// A GPT-2 as the original study describes it.
Profile as_described() {
  Profile p = gpt2(6);
  double step = 0;
  for (SiteRecord& s : p.sites) {
    step += 1e-3;  // no two alike
    const bool head = s.kind == "head", early = s.kind == "embedding" || s.kind == "norm", residual = s.kind == "residual";
    s.mJ = figure(head ? 100 : s.kind == "linear" ? 20 : residual ? 0.5 : 2, 0.05);
    s.ablation = kl((head ? 9 : early ? 5 : residual ? 0.01 : 0.5) + step, 1e-4);
  }
  return p;
}

TEST(Claims, AModelAsTheStudyDescribesItConfirmsThem) {
  const auto claims = compare_with_original(as_described());
  for (const ClaimRecord& c : claims) {
    if (c.claim.find("dropout") != std::string::npos || !(c.claim.starts_with("GPT-2") || c.claim.starts_with("DistilBERT")))
      continue;
    EXPECT_EQ(c.verdict, c.claim.starts_with("GPT-2") ? "confirmed" : "not testable here") << c.claim << ": " << c.evidence;
  }
  EXPECT_EQ(about(claims, "dropout").verdict, "not testable here");
}

TEST(Claims, TheOppositeContradictsThem) {
  Profile p = as_described();
  for (SiteRecord& s : p.sites) {
    s.mJ->mean = 101 - s.mJ->mean, s.mJ->ci95 = {{s.mJ->mean - 0.05, s.mJ->mean + 0.05}};
    s.ablation->kl = figure(10 - s.ablation->kl.mean, 1e-4);
  }
  const auto claims = compare_with_original(p);
  for (const char* words :
       {"LM head takes", "LM head has", "LayerNorm have high", "connections take low", "connections have low"})
    EXPECT_EQ(about(claims, words).verdict, "contradicted") << about(claims, words).evidence;
}

TEST(Claims, WhatIsNotShownIsNotTestable) {
  Profile p = as_described();
  for (SiteRecord& s : p.sites) s.mJ->ci95 = {{-1000, 1000}}, s.ablation->kl = {1, {{0, 2}}, {}};
  for (const ClaimRecord& c : compare_with_original(p))
    EXPECT_EQ(c.verdict, "not testable here") << c.claim << ": " << c.evidence;
  for (SiteRecord& s : p.sites) s.mJ.reset(), s.ablation.reset();
  EXPECT_EQ(about(compare_with_original(p), "LayerNorm have high").evidence, "the profile has no prediction impact");
}

TEST(Claims, OfDistilbertAreReadFromItsRows) {
  Profile p;
  p.sites = {row("distilbert.embeddings.word_embeddings", "embedding", 100)};
  for (int i = 0; i < 6; ++i) {
    const std::string h = "distilbert.transformer.layer." + std::to_string(i) + ".";
    for (const char* name : {"attention.qkv_lin", "attention.out_lin", "ffn.lin1", "ffn.lin2"})
      p.sites.push_back(row(h + name, "linear", 10));
    p.sites.push_back(row(h + "sa_layer_norm", "norm"));
  }
  for (SiteRecord& s : p.sites) {
    const bool ffn = s.site.find("ffn") != std::string::npos, attention = s.site.find("attention") != std::string::npos;
    s.mJ = figure(ffn ? 10 : attention ? 5 : 0.1, 0.01);
    s.ablation = kl(ffn ? 0.01 : attention ? 0.02 : 1, 1e-3);
  }
  const auto claims = compare_with_original(p);
  EXPECT_EQ(about(claims, "dominate energy").verdict, "confirmed");
  EXPECT_NE(about(claims, "dominate energy").evidence.find("feed-forward 66."), std::string::npos)
      << about(claims, "dominate energy").evidence;
  EXPECT_EQ(about(claims, "attention takes moderate").verdict, "confirmed");
  EXPECT_EQ(about(claims, "feed-forward layers have low").verdict, "confirmed");
  EXPECT_EQ(about(claims, "of high importance").verdict, "confirmed");
  EXPECT_EQ(about(claims, "GPT-2").verdict, "not testable here");
}

TEST(Claims, AdviceIsHeldAgainstTheProfilesOwn) {
  Profile p = as_described();
  p.guidelines = {{"transformer.h.*.mlp.c_fc", "int8", "quantise", ""}, {"lm_head", "int8", "quantise", ""}};
  EXPECT_EQ(about(compare_with_original(p), "Quantise feed-forward").verdict, "confirmed");
  EXPECT_EQ(about(compare_with_original(p), "Keep embeddings").verdict, "contradicted");
}

Run run_of(const std::string& format, double mJ, double sampled_mJ) {
  Run run;
  run.model = "tiny-distilbert", run.format = format, run.phase = "forward", run.batch = 32, run.seq = 128;
  run.size_ratio = format == "fp16" ? 2 : 1;
  run.latency_ms = Latency{figure(1, 0.01), 1, 1, 1};
  run.energy = Energy{"nvml:0", "measured", "counter", figure(mJ, mJ / 100)};
  run.energy->zones = {{"nvml:0", mJ}, {"nvml:0/instant", sampled_mJ}};
  run.quality = QualityResult{"accuracy", 0.91, {}, 872, 794};
  return run;
}

Study study_of(double energy_ratio, double speedup) {
  Study s;
  s.runs = {run_of("fp32", 200, 201), run_of("fp16", 20, 19.5), run_of("mixed_fp16", 40, 40)};
  for (const auto& [format, ratio] : {std::pair{"fp16", energy_ratio}, std::pair{"mixed_fp16", energy_ratio / 2}}) {
    Comparison c{"tiny-distilbert", "fp32", format, "forward", 32, 128};
    c.energy_ratio = figure(ratio, ratio / 100), c.speedup = figure(speedup, speedup / 100);
    c.quality_delta = 0, c.p_value = 1, c.test = "McNemar";
    s.comparisons.push_back(c);
  }
  return s;
}

TEST(Claims, AStudyOfFormatsAnswersTheStudysOwn) {
  const auto claims = compare_with_original(study_of(10, 8));
  for (const char* words : {"less energy", "faster", "no quality", "halves", "mixed precision", "Mean power"})
    EXPECT_EQ(about(claims, words).verdict, "confirmed") << about(claims, words).evidence;
  EXPECT_NE(about(claims, "less energy").evidence.find("1.7 times that"), std::string::npos)
      << about(claims, "less energy").evidence;
  EXPECT_EQ(about(claims, "GPT-2").verdict, "not testable here");
}

TEST(Claims, AStudyThatFoundTheOppositeContradicts) {
  Study s = study_of(0.8, 0.9);
  s.runs[1].energy->zones[1].second = 13;
  s.runs[1].size_ratio = 1;
  s.comparisons[0].quality_delta = -0.02, s.comparisons[0].p_value = 0.001;
  const auto claims = compare_with_original(s);
  for (const char* words : {"less energy", "faster", "no quality", "halves", "Mean power"})
    EXPECT_EQ(about(claims, words).verdict, "contradicted") << about(claims, words).evidence;
}

TEST(Claims, RunsThatBeginIdleAreNotSteadyLoad) {
  Study s = study_of(10, 8);
  s.runs[1].energy->mean_power_method_mJ = 8;
  const ClaimRecord claim = about(compare_with_original(s), "Mean power");
  EXPECT_EQ(claim.verdict, "confirmed") << claim.evidence;
  EXPECT_NE(claim.evidence.find("begin idle, by -60.0 %"), std::string::npos) << claim.evidence;
  for (auto& run : s.runs) run.energy->zones.pop_back();
  EXPECT_EQ(about(compare_with_original(s), "Mean power").verdict, "not testable here");
}

TEST(Claims, AStudyOfQualityAloneIsNotTheOriginalAgain) {
  Study s = study_of(10, 8);
  for (auto& run : s.runs) run.latency_ms.reset();
  EXPECT_TRUE(compare_with_original(s).empty());
}

TEST(Claims, AssumedJoulesTestNothing) {
  Study s = study_of(10, 8);
  for (auto& run : s.runs) run.energy->label = "assumed";
  EXPECT_EQ(about(compare_with_original(s), "less energy").verdict, "not testable here");
  EXPECT_EQ(about(compare_with_original(s), "Mean power").verdict, "not testable here");
}

}  // namespace
}  // namespace eaq

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "eaq/report/numbers.h"
#include "eaq/report/report.h"
#include "eaq/report/text.h"

namespace eaq {
namespace {

Figure around(double mean) { return {mean, {{mean * 0.98, mean * 1.02}}, {}}; }

// Twelve layers, as much on the screen as there can be.
Profile example(bool joules) {
  Profile p;
  p.manifest.device.name = "NVIDIA H200";
  p.manifest.protocol.name = "profile", p.manifest.protocol.blocks = 8, p.manifest.protocol.visits_per_block = 2;
  p.manifest.no_meter = joules ? "" : "no energy meter here. To see joules: --assume-watts 65";
  p.run.model = "gpt2", p.run.format = "fp32", p.run.phase = "forward", p.run.batch = 8, p.run.seq = 1024;
  if (joules) p.run.energy = Energy{"nvml:GPU-0123", "measured", "counter", around(100)};
  const auto add = [&](const std::string& site, const std::string& kind, double cost) {
    SiteRecord s{site, kind, "fp32"};
    s.time_ms = around(cost / 100);
    if (joules) s.mJ = around(cost), s.mJ_in_place = around(cost * 1.1), s.mJ_time_share = cost * 1.2;
    s.share = cost / 4000;
    for (const char* format : {"bf16", "fp16", "int8", "mixed_bf16", "mixed_fp16", "tf32"})
      s.impact[format] = {1000, {1e-4, {{5e-5, 2e-4}}, {}},   3, Figure{1e-4, {{-1e-4, 2e-4}}, {}},
                          {},   std::string(format) == "int8"};
    s.ablation = ImpactRecord{1000, {2, {{1, 3}}, {}}, 300, {}, {}, false};
    p.sites.push_back(s);
  };
  add("transformer.wte", "embedding", 10);
  for (int i = 0; i < 12; ++i) {
    add("transformer.h." + std::to_string(i) + ".attn.c_attn", "linear", 100 + i);
    add("transformer.h." + std::to_string(i) + ".mlp.c_fc", "linear", 200);
    SiteRecord act{"transformer.h." + std::to_string(i) + ".mlp.act", "activation", "fp32"};
    act.fused_into = "transformer.h." + std::to_string(i) + ".mlp.c_fc";
    p.sites.push_back(act);
  }
  add("lm_head", "head", 500);
  if (joules) p.additivity["loops"] = {around(4000), around(4100), {-0.024, {{-0.03, -0.018}}, {}}};
  p.roofline =
      RooflineRecord{around(100), around(0.5), {0, {}, {}}, 0.98, {"memory (bytes) cannot be told from the other terms"}};
  p.correlations = CorrelationRecord{{"mJ", "kl int8"}, 26, {{1, 0.9}, {0.9, 1}}, {{1, 0.8}, {0.8, 1}}, {}, {}};
  p.correlations->spearman_ci95 = {{{1, 1}, {0.6, 0.9}}, {{0.6, 0.9}, {1, 1}}};
  p.guidelines = {{"transformer.h.*.mlp.c_fc", "int8", "quantise", "saves much: evidence of the first"},
                  {"lm_head", "int8", "keep", "a loss is shown: evidence of the second"}};
  p.claims = {{"GPT-2: the LM head takes the most energy", "contradicted", "it does not"},
              {"one", "not testable here", "the same reason"},
              {"two", "not testable here", "the same reason"}};
  return p;
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::string unwrapped(std::string text) {
  for (std::size_t at; (at = text.find("\n  ")) != std::string::npos;) text.replace(at, 3, " ");
  return text;
}

void expect_narrow(const std::string& text) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(columns(line), 100u) << line;
}

TEST(ProfileText, SaysHowOftenAndHowLongEachVariantWasVisited) {
  Profile p = example(true);
  EXPECT_NE(screen_profile(p).find("8 blocks x 2 visits | energy"), std::string::npos);
  p.manifest.protocol.blocks = 1, p.manifest.protocol.visit_s = 0.8;
  EXPECT_NE(screen_profile(p).find("1 block x 2 visits of 0.800 s | energy"), std::string::npos) << screen_profile(p);
}

TEST(ProfileText, GroupsLayersAndKeepsTo100Columns) {
  const std::string text = screen_profile(example(true));
  expect_narrow(text);
  EXPECT_TRUE(has(text, "gpt2 in fp32, part by part, on NVIDIA H200 | batch 8, seq 1024")) << text;
  EXPECT_TRUE(has(text, "energy: nvml:GPU-0123, counter, measured")) << text;
  EXPECT_TRUE(has(text, "*.mlp.c_fc")) << text;
  EXPECT_TRUE(has(text, "████████████")) << text;  // twelve layers that are alike
  EXPECT_TRUE(has(text, "2400 ±14")) << text;      // twelve times 200 +- 4
  EXPECT_TRUE(has(text, "The ten most expensive")) << text;
  EXPECT_FALSE(has(text, "transformer.h.3")) << text;
}

TEST(ProfileText, LongNamesAreCutRatherThanTheTableBroken) {
  Profile p = example(true);
  for (SiteRecord& s : p.sites)
    if (s.site.find("c_fc") != std::string::npos)
      s.site += ".which_is_a_very_long_name_that_goes_on_and_on_and_on_to_the_end_of_it";
  expect_narrow(screen_profile(p));
}

TEST(ProfileText, SaysWhetherItAddsUpAndWhatTheBaselineGetsWrong) {
  const std::string text = unwrapped(screen_profile(example(true)));
  EXPECT_TRUE(has(text, "Sum of the parts by loops: 4000 ±80 mJ, the model 4100 ±82: -2.4 % [-3.0,-1.8].")) << text;
  EXPECT_TRUE(has(text, "Time share x mean power")) << text;
  EXPECT_TRUE(has(text, "(+20 %)")) << text;
  EXPECT_TRUE(has(text, "memory (bytes) cannot be told")) << text;
  EXPECT_TRUE(has(text, "mJ with kl int8 0.80 [0.60,0.90]")) << text;
}

TEST(ProfileText, SaysHowOftenTheTwoWaysAgree) {
  Profile p = example(true);  // 10 % apart, each known to 2 %
  EXPECT_TRUE(has(unwrapped(screen_profile(p)), "agree, within both intervals, in 0 of 26 parts (95 % would"));
  for (std::size_t i = 0; i < p.sites.size(); ++i)
    if (p.sites[i].mJ && i > 0) p.sites[i].mJ_in_place = p.sites[i].mJ;
  EXPECT_TRUE(has(unwrapped(screen_profile(p)), "agree, within both intervals, in 25 of 26 parts."));
  for (SiteRecord& row : p.sites) row.mJ_in_place.reset();
  EXPECT_FALSE(has(screen_profile(p), "agree, within"));
}

TEST(ProfileText, AdviceAndClaimsAreShortOnTheScreenAndWholeInTheFile) {
  const std::string text = unwrapped(screen_profile(example(true)));
  EXPECT_TRUE(has(text, "int8 quantise: *.mlp.c_fc (60 % of the joules); keep: lm_head")) << text;
  EXPECT_TRUE(has(text, "contradicted: GPT-2: the LM head takes the most energy (it does not)")) << text;
  EXPECT_TRUE(has(text, "not testable here: 2 claims (the same reason)")) << text;
  const std::string file = markdown_profile(example(true));
  EXPECT_TRUE(has(file, "| lm_head | int8 | keep | a loss is shown: evidence of the second |")) << file;
  EXPECT_TRUE(has(file, "| transformer.h.11.attn.c_attn | linear |")) << file;
  EXPECT_TRUE(has(file, "0.80 [0.60,0.90]")) << file;
  EXPECT_TRUE(has(file, "## How this came about")) << file;
}

TEST(ProfileText, WithoutAMeterTimeIsSharedAndALineSaysWhy) {
  Profile p = example(false);
  const std::string text = unwrapped(screen_profile(p));
  EXPECT_FALSE(has(text, "mJ in place")) << text;
  EXPECT_TRUE(has(text, "No joules: no energy meter here. To see joules: --assume-watts 65")) << text;
  EXPECT_TRUE(has(text, "(60 % of the time)")) << text;
}

TEST(ProfileText, PartsWithJoulesAreNotSaidToHaveNoneWhereTheWholeRunHas) {
  Profile p = example(true);
  p.run.energy.reset(), p.run.energy_unavailable = "no visit gave joules";
  EXPECT_TRUE(has(unwrapped(screen_profile(p)), "energy: of the parts, none of the whole run (no visit gave joules)"));
}

TEST(ProfileText, WhatRunsWithinAnotherIsNamedOnce) {
  EXPECT_TRUE(has(unwrapped(screen_profile(example(true))), "*.mlp.act (in *.mlp.c_fc)"));
}

TEST(ProfileText, OfAProfileOfNothingIsNoTable) {
  Profile p;
  p.run.model = "gpt2";
  p.interrupted = true;
  EXPECT_TRUE(has(screen_profile(p), "Interrupted"));
  EXPECT_TRUE(has(markdown_profile(p), "# eaq profile"));
}

TEST(ProfileText, CommaSeparatedHasARowForEachPartInFull) {
  const std::string text = csv_sites(example(true));
  std::istringstream lines(text);
  std::string line;
  std::size_t rows = 0, commas = 0;
  while (std::getline(lines, line)) {
    const auto here = static_cast<std::size_t>(std::count(line.begin(), line.end(), ','));
    if (rows++ == 0) commas = here;
    EXPECT_EQ(here, commas) << line;
  }
  EXPECT_EQ(rows, 1 + example(true).sites.size());
  EXPECT_TRUE(has(text, "kl_int8,kl_int8_low,kl_int8_high,flips_int8,delta_nll_int8")) << text.substr(0, 400);
  EXPECT_TRUE(has(text, "transformer.h.0.mlp.act,activation,fp32,transformer.h.0.mlp.c_fc,0,0,0,,,")) << text;
}

TEST(Colours, AreThereOnlyOnceSomebodySaidSoAndTakeNoRoom) {
  const std::string plain = screen_profile(example(true));
  EXPECT_EQ(plain.find('\x1b'), std::string::npos);
  colour_screens(true);
  const std::string coloured = screen_profile(example(true)), file = markdown_profile(example(true));
  colour_screens(false);
  EXPECT_NE(coloured.find('\x1b'), std::string::npos);
  EXPECT_EQ(file.find('\x1b'), std::string::npos);
  std::string stripped;
  bool inside = false;
  for (const char c : coloured) {
    if (c == '\x1b') inside = true;
    if (!inside) stripped += c;
    if (inside && c == 'm') inside = false;
  }
  EXPECT_EQ(stripped, plain);
}

TEST(Colours, AreForTerminalsAlone) { EXPECT_FALSE(shows_colours(-1)); }

TEST(Sparkline, IsABlockForEachValueFromZeroUp) {
  EXPECT_EQ(sparkline({}), "");
  EXPECT_EQ(sparkline({1, 2, 4, 8}), "▁▂▄█");
  EXPECT_EQ(sparkline({5, 5}), "██");
  EXPECT_EQ(sparkline({0, 0}), "▁▁");
  EXPECT_EQ(columns(sparkline(std::vector<double>(96, 1.0))), 24u);
  EXPECT_EQ(sparkline({-1, 1}), "▁█");
}

TEST(Bar, IsInEighths) {
  EXPECT_EQ(bar(1, 4), "████");
  EXPECT_EQ(bar(0.5, 1), "▌");
  EXPECT_EQ(bar(0, 4), "");
  EXPECT_EQ(bar(2, 1), "█");
}

}  // namespace
}  // namespace eaq

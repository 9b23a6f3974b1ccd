#include "eaq/result/result.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace eaq {
namespace {

Run full_run() {
  Run run;
  run.model = "tiny-gpt2";
  run.task = "wikitext2";
  run.format = "fp16";
  run.recipe = R"({"schema":"eaq.recipe/1","default":"fp16","sites":{}})";
  run.storage = "fp16";
  run.arithmetic = "f32";
  run.kernels = {"gemm avx2 f32", "gemm avx2 fp16"};
  run.phase = "forward";
  run.unit = "window";
  run.batch = 1;
  run.seq = 128;
  run.samples = 2400;
  run.latency_ms = Latency{{1.5, {{1.4, 1.6}}, {1.4, 1.5, 1.6}}, 1.5, 1.7, 2.0};
  run.throughput_per_s = Figure{666, {{625, 714}}, {}};
  run.energy = Energy{"rapl:package-0",
                      "measured",
                      "counter",
                      {15, {{14, 16}}, {14, 16}},
                      Figure{10, {}, {}},
                      32,
                      11.5,
                      12.0,
                      0.05,
                      {{"rapl:package-0", 15}, {"rapl:dram", 2}}};
  run.quality = QualityResult{"accuracy", 0.8865, {{0.864, 0.906}}, 872, 773, 1.2e-6, 0, 0, {{"lm_head", 60.5, 0}}};
  run.size_bytes = 2705792;
  run.size_ratio = 2;
  run.peak_memory_bytes = 20000000;
  run.throttled = {"thermal"};
  run.notes = {"one", "two"};
  return run;
}

Study full_study() {
  Study study;
  study.interrupted = true;
  Manifest& m = study.manifest;
  m.eaq = "0.1.0";
  m.commit = "0123456789ab";
  m.host = {"box",
            "Debian GNU/Linux 12 (bookworm)",
            "6.1.0",
            "AMD EPYC 9B45",
            {"avx2", "avx512f"},
            2,
            8000000000,
            "g++ 12.2",
            {{"oneDNN", "2.6.3"}}};
  m.device = {"cuda", "NVIDIA H200", "sm_90", 0, "GPU-0123"};
  m.driver = "CUDA 13.0";
  m.meters = {{"rapl", "measured", {"rapl:package-0"}, true}};
  m.seed = 18446744073709551615ull;
  m.protocol = {"blocks", "counter", 8, 2, {}, {}, {}, 0.25, "all 872 sentences"};
  m.started = "2026-11-24T10:00:00Z";
  m.seconds = 100.5;
  m.command = {"eaq", "study"};
  m.models = {{"tiny-gpt2", "wikitext2", "sha256:aa", 1352448}};
  m.data = {{"wikitext2", "wikitext2", "sha256:bb", 1456, 372000}};
  study.runs = {full_run()};
  study.refused = {{"tiny-gpt2", "int3", "no such arithmetic here"}};
  Comparison c{"tiny-gpt2", "fp32", "fp16", "forward", 1,        128, Figure{2, {{1.9, 2.1}}, {}}, Figure{1.5, {{1.4, 1.6}}, {}},
               0.01,        0.02,   0.001,  1,         "McNemar"};
  study.comparisons = {c};
  study.claims = {{"half the size", "confirmed", "254 of 508 MiB"}};
  return study;
}

TEST(Result, AStudyReadsBackAsItWasWritten) {
  const std::string text = to_json(full_study());
  EXPECT_EQ(to_json(study_from_json(text, "study.json")), text);
  EXPECT_NE(text.find("\"schema\": \"eaq.study/1\""), std::string::npos);
}

Profile full_profile() {
  Profile profile;
  profile.manifest = full_study().manifest;
  profile.run = full_run();
  ImpactRecord impact{872, {1e-3, {{5e-4, 1.5e-3}}, {}}, 3, {}, Figure{-0.001, {{-0.004, 0.002}}, {}}, true};
  SiteRecord site{"transformer.h.0.mlp.c_fc", "linear", "fp16", "", 1024, 2048, 4096, Figure{0.1, {{0.09, 0.11}}, {}}};
  site.mJ = Figure{3, {{2.8, 3.2}}, {}};
  site.mJ_time_share = 2.5;
  site.share = 0.25;
  site.bound_by = "memory";
  site.impact = {{"int8", impact}};
  site.ablation = impact;
  SiteRecord fused{"transformer.h.0.mlp.act", "activation", "fp16", "transformer.h.0.mlp.c_fc"};
  profile.sites = {site, fused};
  profile.parts = {
      {"loops", "0.1.0", "0123456789ab", "2026-11-24T10:00:00Z", 12.5, profile.manifest.device, {"eaq", "profile", "x"}}};
  profile.additivity = {{"loops", {{90, {{85, 95}}, {}}, {100, {{99, 101}}, {}}, {-0.1, {{-0.15, -0.05}}, {}}}}};
  profile.roofline = RooflineRecord{{100, {}, {}}, {0.5, {}, {}}, {80, {}, {}}, 0.97, {"a note"}};
  profile.correlations = CorrelationRecord{{"mJ", "kl int8"}, 12, {{1, 0.5}, {0.5, 1}}, {{1, 0.4}, {0.4, 1}}, {}, {}};
  profile.correlations->pearson_ci95 = {{{1, 1}, {0, 0.8}}, {{0, 0.8}, {1, 1}}};
  profile.guidelines = {{"mlp", "int8", "quantise", "saves 12 % and loses nothing that shows"}};
  profile.claims = {{"the head is highest in both", "confirmed", "31 % of the joules"}};
  profile.refused = {{"tiny-gpt2", "int3", "no such arithmetic here"}};
  return profile;
}

TEST(Result, AProfileReadsBackAsItWasWritten) {
  const std::string text = to_json(full_profile());
  EXPECT_EQ(to_json(profile_from_json(text, "profile.json")), text);
  EXPECT_EQ(schema_of(text, "profile.json"), "eaq.profile/1");
  EXPECT_THROW(study_from_json(text, "profile.json"), Error);
}

TEST(Result, AStepThatRunsWithinAnotherHasNoJoulesOfItsOwn) {
  const std::string text = to_json(full_profile());
  EXPECT_NE(text.find("\"fused_into\": \"transformer.h.0.mlp.c_fc\""), std::string::npos);
  EXPECT_FALSE(profile_from_json(text, "profile.json").sites[1].mJ);
}

TEST(Result, AbsenceIsNullBesideAReasonAndNeverZero) {
  Study study = full_study();
  auto& run = study.runs[0];
  run.energy.reset();
  run.energy_unavailable = "no meter";
  run.quality->kl_mean.reset();
  const std::string text = to_json(study);
  EXPECT_NE(text.find("\"energy\": null"), std::string::npos);
  EXPECT_NE(text.find("\"energy_unavailable\": \"no meter\""), std::string::npos);
  EXPECT_NE(text.find("\"kl_mean\": null"), std::string::npos);
  const Study back = study_from_json(text, "study.json");
  EXPECT_FALSE(back.runs[0].energy);
  EXPECT_EQ(back.runs[0].energy_unavailable, "no meter");
  EXPECT_FALSE(back.runs[0].quality->kl_mean);
}

TEST(Result, NumbersThatAreNotFiniteAreNullAndReadBackAsNaN) {
  Study study = full_study();
  study.runs[0].quality->value = std::numeric_limits<double>::infinity();
  const std::string text = to_json(study);
  EXPECT_NE(text.find("\"value\": null"), std::string::npos);
  EXPECT_TRUE(std::isnan(study_from_json(text, "study.json").runs[0].quality->value));
}

TEST(Result, NamesThatAreNotUtf8AreWrittenEscaped) {
  Study study = full_study();
  study.runs[0].model = "a\xff";
  EXPECT_EQ(study_from_json(to_json(study), "study.json").runs[0].model, "a\\xff");
}

std::string error_of(const std::string& text) {
  try {
    study_from_json(text, "x.json");
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::input);
    return e.what();
  }
  return "no error";
}

TEST(Result, WhatIsNoStudyIsAnErrorThatNamesTheField) {
  EXPECT_EQ(error_of("{}"), "x.json: its schema is 'none', not eaq.study/1");
  EXPECT_EQ(error_of("[]"), "x.json: expected an object, found array");
  EXPECT_EQ(error_of(R"({"schema": "eaq.study/1"})"), "x.json: 'interrupted' is missing");
  EXPECT_EQ(error_of(R"({"schema": "eaq.study/1", "interrupted": 0})"),
            "x.json: expected true or false at 'interrupted', found number");
}

TEST(Result, SeveralHashesAreHashedAsSha256sumPrintsThem) {
  EXPECT_EQ(combined_hash({{"a", "sha256:aa"}}), "sha256:aa");
  EXPECT_EQ(combined_hash({{"a", "sha256:aa"}, {"b", "sha256:bb"}}), "sha256:" + sha256("sha256:aa  a\nsha256:bb  b\n"));
}

}  // namespace
}  // namespace eaq

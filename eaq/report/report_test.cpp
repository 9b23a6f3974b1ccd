#include "eaq/report/report.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "eaq/report/numbers.h"

namespace eaq {
namespace {

Study example(bool with_energy) {
  Study study;
  Manifest& m = study.manifest;
  m.device.name = "AMD EPYC 9B45";
  m.protocol.name = "blocks";
  m.protocol.blocks = 8;
  m.protocol.visits_per_block = 2;
  m.protocol.visit_s = 2.1;
  if (!with_energy) m.no_meter = "no energy meter here (rapl: no /sys/class/powercap). To see joules: --assume-watts 65";
  for (const char* format : {"fp32", "fp16", "int8"}) {
    const bool reference = std::string(format) == "fp32";
    auto& row = study.runs.emplace_back();
    row.model = "distilbert-sst2";
    row.task = "sst2";
    row.format = format;
    row.phase = "forward";
    row.unit = "sentence";
    row.batch = 32;
    row.seq = 128;
    row.storage = reference ? "fp32" : format;
    row.arithmetic = std::string(format) == "int8" ? "s8" : "f32";
    row.latency_ms =
        Latency{{reference ? 9.51 : 0.712, {{reference ? 9.49 : 0.71, reference ? 9.53 : 0.714}}, {}}, 9.5, 9.6, 9.7};
    row.throughput_per_s = Figure{reference ? 3365.0 : 45070.0, {}, {}};
    if (with_energy)
      row.energy = Energy{"rapl:package-0",
                          "assumed",
                          "counter",
                          {reference ? 201.2 : 15.1, {{reference ? 200.3 : 15.0, reference ? 202.1 : 15.2}}, {}},
                          {},
                          65,
                          {},
                          reference ? 199.0 : 9.9,
                          {},
                          {}};
    row.quality = QualityResult{"accuracy", 0.8865, {{0.864, 0.906}}, 872, 773, reference ? 0 : 1.2e-6, 0, 0, {}};
    row.size_bytes = reference ? 267800000 : 133900000;
    row.size_ratio = reference ? 1 : 2;
    if (reference) continue;
    auto& c = study.comparisons.emplace_back();
    c.model = row.model;
    c.a = "fp32";
    c.b = format;
    c.phase = "forward";
    c.batch = 32;
    c.seq = 128;
    c.speedup = Figure{13.36, {{13.31, 13.4}}, {}};
    if (with_energy) c.energy_ratio = Figure{13.32, {{13.2, 13.4}}, {}};
    c.quality_delta = 0;
    c.p_value = 1;
    c.test = "McNemar";
  }
  return study;
}

TEST(Report, EnergyColumnsCarryTheirLabelAndMethod) {
  const std::string text = screen_report(example(true));
  EXPECT_NE(text.find("mJ (assumed)"), std::string::npos) << text;
  EXPECT_NE(text.find("energy: rapl:package-0, counter, assumed"), std::string::npos) << text;
  EXPECT_NE(text.find("13.3x [13.2,13.4]"), std::string::npos) << text;
  EXPECT_NE(text.find("fp16 9.90 (-34 %)"), std::string::npos) << text;
  EXPECT_NE(text.find("88.65 ="), std::string::npos) << text;
  EXPECT_NE(text.find("= no difference from fp32 shown (McNemar, least p 1.00)"), std::string::npos) << text;
}

TEST(Report, ACardIsNamedWithItsKindAndItsMemory) {
  Study study = example(false);
  study.manifest.device = {"cuda", "NVIDIA H200", "sm_90", 0, "GPU-0123"};
  study.manifest.driver = "CUDA 13.0";
  study.manifest.host.cpu = "Intel Xeon";
  study.manifest.host.os = "Debian";
  const std::string text = markdown_report(study);
  EXPECT_NE(text.find("on NVIDIA H200 | "), std::string::npos) << text;
  EXPECT_NE(text.find("- device: NVIDIA H200, sm_90, GPU-0123, CUDA 13.0\n"), std::string::npos) << text;
  EXPECT_NE(text.find("- machine: Intel Xeon, Debian\n"), std::string::npos) << text;
  EXPECT_NE(text.find("largest use of the card's memory"), std::string::npos) << text;
}

TEST(Report, WithoutAMeterTheEnergyColumnsGoAndALineSaysWhy) {
  const std::string text = screen_report(example(false));
  EXPECT_EQ(text.find("mJ"), std::string::npos) << text;
  EXPECT_NE(text.find("speed vs fp32"), std::string::npos) << text;
  EXPECT_NE(text.find("No energy columns: no energy meter here"), std::string::npos) << text;
  EXPECT_NE(text.find("--assume-watts 65"), std::string::npos) << text;
}

TEST(Report, WhateverTheCauseTheClosingLineSaysWhatBringsJoules) {
  for (const char* why : {"no block without a void visit: stuck: rapl:package-0 did not move", "no visit gave joules",
                          "no block without a void visit: unplugged: hwmon:power_meter:power1"}) {
    Study study = example(false);
    study.manifest.no_meter = "";
    for (auto& row : study.runs) row.energy_unavailable = why;
    const std::string text = screen_report(study);
    EXPECT_NE(text.find("No energy columns: "), std::string::npos) << text;
    EXPECT_NE(text.find("--assume-watts 65"), std::string::npos) << text;  // lines break anywhere before it
  }
}

TEST(Report, AKlThatIsNoNumberIsSaidInWords) {
  Study study = example(false);
  study.runs[1].quality->kl_mean = NAN;
  EXPECT_EQ(screen_report(study).find("nan"), std::string::npos) << screen_report(study);
  EXPECT_NE(screen_report(study).find("not finite"), std::string::npos);
  EXPECT_NE(screen_run(study.runs[1]).find("KL not finite"), std::string::npos) << screen_run(study.runs[1]);
}

TEST(Report, KeepsTo100Columns) {
  Study study = example(false);
  study.refused = {{"distilbert-sst2", "fp8_e4m3", std::string(150, 'x') + " a reason of many words, " + std::string(60, 'y')}};
  study.runs[1].format = "mixed_bf16";
  for (bool with_energy : {true, false}) {
    std::istringstream lines(screen_report(with_energy ? example(true) : example(false)));
    for (std::string line; std::getline(lines, line);) EXPECT_LE(columns(line), 100u) << line;
  }
}

TEST(Report, ADifferenceIsMarkedWithItsSizeAndP) {
  Study study = example(false);
  study.comparisons[1].quality_delta = -0.0103;
  study.comparisons[1].p_value = 0.004;
  const std::string text = screen_report(study);
  EXPECT_NE(text.find("88.65 *"), std::string::npos) << text;
  EXPECT_NE(text.find("* differs from fp32 (McNemar: int8 -1.03 points, p 0.004)"), std::string::npos) << text;
}

TEST(Report, WhatIsNotWhatItsNameSaysIsMarked) {
  Study study = example(false);
  study.runs[2].emulated = true;
  const std::string text = screen_report(study);
  EXPECT_NE(text.find("int8 ~"), std::string::npos);
  EXPECT_NE(text.find("~ emulated (int8)"), std::string::npos);
  EXPECT_NE(text.find("widened in registers and multiplied in f32: fp16"), std::string::npos) << text;
}

TEST(Report, TheCsvHasACellForEveryColumnAndEmptyOnesForWhatIsNotThere) {
  std::istringstream lines(csv_table(example(false)));
  std::string header, row;
  std::getline(lines, header);
  int rows = 0;
  for (; std::getline(lines, row); ++rows)
    EXPECT_EQ(std::count(row.begin(), row.end(), ','), std::count(header.begin(), header.end(), ','));
  EXPECT_EQ(rows, 3);
  EXPECT_NE(csv_table(example(false)).find(",,,,,,,,,accuracy,0.8865"), std::string::npos);
}

TEST(Numbers, KeepTheDigitsThatMatter) {
  EXPECT_EQ(with_margin({9.5134, {{9.4934, 9.5334}}, {}}), "9.51 \u00b10.02");
  EXPECT_EQ(with_margin({201.23, {{200.3, 202.2}}, {}}), "201.2 \u00b10.9");
  EXPECT_EQ(with_margin({0.7123, {}, {}}), "0.712");
  EXPECT_EQ(with_thousands(45070), "45 070");
  EXPECT_EQ(with_thousands(1234567), "1 234 567");
  EXPECT_EQ(with_thousands(96.13), "96.1");
  EXPECT_EQ(mebibytes(267820040), "255.4");
  EXPECT_EQ(small_number({}), "-");
  EXPECT_EQ(small_number(NAN), "not finite");
  EXPECT_EQ(small_number(INFINITY), "not finite");
}

TEST(Curve, IsAStepOverItsLoadWithinSeventySixColumns) {
  const Curve step{.values = {{0, 100}, {5, 700}}, .load = {{4.5, true}}, .from = 0, .to = 10};
  std::istringstream lines(draw(step));
  std::vector<std::string> all;
  for (std::string line; std::getline(lines, line);) {
    const auto columns =
        std::count_if(line.begin(), line.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
    EXPECT_LE(columns, 76);
    all.push_back(line);
  }
  ASSERT_EQ(all.size(), 8u);
  EXPECT_NE(all[0].find("700 W"), std::string::npos);
  EXPECT_NE(all[5].find("0.00 W"), std::string::npos);
  const auto full = [](const std::string& line) {
    std::size_t count = 0;
    for (auto at = line.find("█"); at != std::string::npos; at = line.find("█", at + 1)) ++count;
    return count;
  };
  EXPECT_EQ(full(all[0]), 32u);
  EXPECT_EQ(full(all[3]), 32u);
  EXPECT_EQ(full(all[6]), 35u);
  EXPECT_NE(all[7].find("10.0 s"), std::string::npos);
}

TEST(Curve, WithoutAValueIsNotDrawn) {
  EXPECT_EQ(draw({.values = {{20, 1}}, .from = 0, .to = 10}), "");
  EXPECT_EQ(draw({}), "");
}

}  // namespace
}  // namespace eaq

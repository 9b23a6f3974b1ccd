// Two results against each other: what is shown, what is not, and what cannot be said.
#include <gtest/gtest.h>

#include <cmath>

#include "eaq/report/report.h"
#include "eaq/stats/stats.h"

namespace eaq {
namespace {

Figure figure_of(std::vector<double> trials) {
  const Interval ci = t_interval(trials);
  return {ci.mean, {{ci.low, ci.high}}, std::move(trials)};
}

Figure scaled(Figure f, double factor) {
  f.mean *= factor;
  for (double& t : f.trials) t *= factor;
  if (f.ci95) f.ci95 = {f.ci95->first * factor, f.ci95->second * factor};
  return f;
}

const std::vector<double> blocks{10.00, 10.02, 9.99, 10.01, 10.00, 9.98, 10.01, 9.99};

Study study_of(double energy, double time, const std::string& format = "fp32") {
  Study study;
  study.manifest.device = {"cuda", "NVIDIA H200", "", 0};
  study.manifest.host.cpu = "AMD EPYC 9B45";
  study.manifest.models = {{"tiny", "sst2", "sha256:m", 1}};
  study.manifest.data = {{"sst2", "dev", "sha256:d", 872, 0}};
  Run& run = study.runs.emplace_back();
  run.model = "tiny";
  run.task = "sst2";
  run.format = format;
  run.recipe = "{}";
  run.phase = "forward";
  run.unit = "sentence";
  run.batch = 32;
  run.seq = 128;
  run.latency_ms = Latency{scaled(figure_of(blocks), time), 10, 10, 10};
  run.throughput_per_s = scaled(figure_of(blocks), 1 / time);
  run.energy = Energy{"nvml:GPU-1", "measured", "counter", scaled(figure_of(blocks), energy), {}, 300, {}, {}, {}, {}};
  run.quality = QualityResult{"accuracy", 0.90, {{0.878, 0.918}}, 872, 785, 0.0, 0, 0, {}};
  return study;
}

std::optional<BetweenRuns> known(const std::string&) { return BetweenRuns{0.003, 0.002, 10}; }
std::optional<BetweenRuns> unknown(const std::string&) { return std::nullopt; }

const ComparedPair& metric(const StudyComparison& c, const std::string& name) {
  for (const ComparedPair& p : c.pairs)
    if (p.metric == name) return p;
  throw Error(ErrorKind::bug, "no pair of " + name);
}

TEST(Compare, VerdictsAreOfBAgainstA) {
  const StudyComparison c = compare_studies(study_of(1, 1), study_of(1.05, 0.9), known);
  ASSERT_EQ(c.pairs.size(), 4u);
  EXPECT_EQ(metric(c, "energy").verdict, Verdict::worse);
  EXPECT_NEAR(metric(c, "energy").ratio->mean, 1 / 1.05, 1e-9);
  EXPECT_NEAR(*metric(c, "energy").regression, 0.05, 1e-9);
  EXPECT_EQ(metric(c, "latency").verdict, Verdict::better);
  EXPECT_NEAR(metric(c, "latency").ratio->mean, 1 / 0.9, 1e-9);
  EXPECT_EQ(metric(c, "throughput").verdict, Verdict::better);
  EXPECT_NEAR(metric(c, "throughput").ratio->mean, 0.9, 1e-9);
  EXPECT_EQ(metric(c, "quality").verdict, Verdict::no_difference);
  EXPECT_FALSE(metric(c, "latency").regression);
}

TEST(Compare, AResultAgainstItselfShowsNothing) {
  const StudyComparison c = compare_studies(study_of(1, 1), study_of(1, 1), known);
  for (const ComparedPair& p : c.pairs) {
    EXPECT_EQ(p.verdict, Verdict::no_difference) << p.metric;
    EXPECT_EQ(p.ratio->mean, 1) << p.metric;
  }
  EXPECT_EQ(beyond(c, 0), nullptr);
}

TEST(Compare, ARegressionCountsOnlyWhereTheEstimateIsBeyondTheBound) {
  const StudyComparison c = compare_studies(study_of(1, 1), study_of(1.05, 1), known);
  ASSERT_NE(beyond(c, 0.04), nullptr);
  EXPECT_EQ(beyond(c, 0.04)->metric, "energy");
  EXPECT_EQ(beyond(c, 0.06), nullptr);
  // An estimate beyond the bound that is not shown: between runs alone it may differ as much.
  const auto rough = [](const std::string&) -> std::optional<BetweenRuns> { return BetweenRuns{0.05, 0.05, 10}; };
  EXPECT_EQ(beyond(compare_studies(study_of(1, 1), study_of(1.05, 1), rough), 0.01), nullptr);
}

TEST(Compare, FewRepeatsCountAsFew) {
  const auto with = [](int repeats) {
    return compare_studies(study_of(1, 1), study_of(1, 1), [repeats](const std::string&) -> std::optional<BetweenRuns> {
      return BetweenRuns{0.003, 0.003, repeats};
    });
  };
  const auto width = [](const StudyComparison& c) {
    const auto& ci = *metric(c, "energy").ratio->ci95;
    return std::log(ci.second / ci.first) / 2;
  };
  // Twice the variance of one run; what the blocks add is small beside it.
  EXPECT_NEAR(width(with(1000)), 1.96 * std::sqrt(2.0) * 0.003, 0.0005);
  EXPECT_GT(width(with(3)), 1.7 * width(with(1000)));
  EXPECT_EQ(metric(with(1), "energy").verdict, Verdict::not_comparable);
}

TEST(Compare, WhatCannotBeComparedSaysWhy) {
  const auto reason = [](const Study& a, const Study& b, const char* name, const BetweenRunsOf& between = known) {
    const StudyComparison c = compare_studies(a, b, between);
    const ComparedPair& p = metric(c, name);
    EXPECT_EQ(p.verdict, Verdict::not_comparable) << name << ": " << p.reason;
    EXPECT_FALSE(p.ratio);
    return p.reason;
  };
  const Study a = study_of(1, 1);
  EXPECT_NE(reason(a, a, "energy", unknown).find("--calibrate"), std::string::npos);
  EXPECT_NE(reason(a, a, "latency", unknown).find("--live"), std::string::npos);
  Study b = a;
  b.manifest.device.name = "NVIDIA H100";
  EXPECT_NE(reason(a, b, "energy").find("NVIDIA H100"), std::string::npos);
  EXPECT_NE(reason(a, b, "latency").find("another device"), std::string::npos);
  b = a;
  b.manifest.host.cpu = "other";
  EXPECT_NE(reason(a, b, "energy").find("host processor"), std::string::npos);
  b = a;
  b.runs[0].energy->meter = "nvml:GPU-2";
  EXPECT_NE(reason(a, b, "energy").find("GPU-2"), std::string::npos);
  b = a;
  b.runs[0].energy->label = "assumed";
  EXPECT_NE(reason(a, b, "energy").find("assumed"), std::string::npos);
  b = a;
  b.runs[0].energy->method = "mean-power";
  EXPECT_NE(reason(a, b, "energy").find("mean-power"), std::string::npos);
  b = a;
  b.runs[0].energy.reset();
  b.runs[0].energy_unavailable = "no meter here";
  EXPECT_NE(reason(a, b, "energy").find("no meter here"), std::string::npos);
  b = a;
  b.manifest.models[0].hash = "sha256:x";
  EXPECT_NE(reason(a, b, "quality").find("model"), std::string::npos);
  b = a;
  b.manifest.data[0].hash = "sha256:x";
  EXPECT_NE(reason(a, b, "quality").find("data"), std::string::npos);
  EXPECT_EQ(metric(compare_studies(a, b, known), "energy").verdict, Verdict::no_difference);  // joules do not mind
  b = a;
  b.runs[0].recipe = R"({"default":"bf16"})";
  EXPECT_NE(reason(a, b, "energy").find("recipes"), std::string::npos);
}

TEST(Compare, RunsWithoutACounterpartAreListedAndNoneAtAllIsAnError) {
  Study a = study_of(1, 1);
  const Study other = study_of(1, 1, "int8");
  EXPECT_THROW(compare_studies(a, other, known), Error);
  a.runs.push_back(other.runs[0]);
  const StudyComparison c = compare_studies(a, study_of(1, 1), known);
  EXPECT_EQ(c.pairs.size(), 4u);
  ASSERT_EQ(c.unpaired.size(), 1u);
  EXPECT_NE(c.unpaired[0].find("only in A: tiny int8"), std::string::npos);
}

// Under the assumed model, with the between-run deviation known from few repeats only, 5 % of equal pairs look different at most.
TEST(Compare, EqualRunsDifferInFivePercentOfPairs) {
  Rng rng(11);
  constexpr int tries = 2000, repeats = 6;
  constexpr double between = 0.006, within = 0.003;
  int differ = 0, found = 0;
  for (int i = 0; i < tries; ++i) {
    std::vector<double> reference;
    for (int r = 0; r < repeats; ++r) reference.push_back(between * rng.normal());
    const double sd = std::sqrt(variance(reference));
    const auto calibrated = [sd](const std::string&) -> std::optional<BetweenRuns> { return BetweenRuns{sd, sd, repeats}; };
    const auto measured = [&](double joules) {
      const double run = between * rng.normal();
      std::vector<double> trials;
      for (int t = 0; t < 8; ++t) trials.push_back(joules * std::exp(run + within * rng.normal()));
      Study study = study_of(1, 1);
      study.runs[0].energy->mJ_per_sample = figure_of(trials);
      return study;
    };
    differ += metric(compare_studies(measured(10), measured(10), calibrated), "energy").verdict != Verdict::no_difference;
    found += metric(compare_studies(measured(10), measured(10.5), calibrated), "energy").verdict == Verdict::worse;
  }
  std::printf("%.2f %% of %d equal pairs differ, +5 %% is found in %.1f %%\n", 100.0 * differ / tries, tries,
              100.0 * found / tries);
  EXPECT_NEAR(100.0 * differ / tries, 5, 2);
  EXPECT_GE(found, tries * 9 / 10);
}

TEST(Compare, SeveralPairsAreCorrectedTogether) {
  // One pair alone at p of some 0.03; among eight it shows nothing, and says that the correction is why.
  const auto at = [](double energy, int pairs) {
    Study a = study_of(1, 1), b = study_of(energy, 1);
    for (int i = 1; i < pairs; ++i) {
      for (Study* s : {&a, &b}) {
        s->runs.push_back(study_of(1, 1).runs[0]);
        s->runs.back().batch = 100 + i;
      }
    }
    return compare_studies(a, b, known);
  };
  const StudyComparison one = at(1.011, 1), many = at(1.011, 8);
  EXPECT_EQ(metric(one, "energy").verdict, Verdict::worse) << *metric(one, "energy").p;
  EXPECT_EQ(metric(many, "energy").verdict, Verdict::no_difference);
  EXPECT_NE(metric(many, "energy").reason.find("correction"), std::string::npos);
}

TEST(Compare, FormatsOfOneStudyAreItsOwnRatios) {
  Study study = study_of(1, 1);
  study.runs.push_back(study_of(0.5, 0.5, "int8").runs[0]);
  Comparison& c = study.comparisons.emplace_back();
  c.model = "tiny";
  c.a = "fp32";
  c.b = "int8";
  c.phase = "forward";
  c.batch = 32;
  c.seq = 128;
  c.energy_ratio = Figure{2, {{1.9, 2.1}}, {}};
  c.energy_p = 1e-6;
  c.speedup = Figure{2, {{1.9, 2.1}}, {}};
  c.speedup_p = 1e-6;
  c.p_value = 1;
  c.test = "McNemar";
  const StudyComparison forward = compare_formats(study, {"fp32"}, {"int8"});
  EXPECT_EQ(metric(forward, "energy").verdict, Verdict::better);
  EXPECT_EQ(metric(forward, "energy").format, "fp32 / int8");
  EXPECT_EQ(metric(forward, "throughput").verdict, Verdict::better);
  EXPECT_NEAR(metric(forward, "throughput").ratio->mean, 0.5, 1e-12);
  EXPECT_EQ(metric(forward, "quality").verdict, Verdict::no_difference);
  const StudyComparison turned = compare_formats(study, {"int8"}, {"fp32"});
  EXPECT_EQ(metric(turned, "energy").verdict, Verdict::worse);
  EXPECT_NEAR(metric(turned, "energy").ratio->mean, 0.5, 1e-12);
  EXPECT_EQ(metric(turned, "latency").verdict, Verdict::worse);
  EXPECT_NEAR(*beyond(turned, 0)->regression, 1, 1e-9);
}

TEST(Compare, TheTextNamesBothAndTheirVerdicts) {
  const std::string text = screen_comparison(compare_studies(study_of(1, 1), study_of(1.05, 1), known), "a.json", "b.json");
  EXPECT_NE(text.find("A: a.json\nB: b.json\n"), std::string::npos) << text;
  EXPECT_NE(text.find("energy      worse"), std::string::npos) << text;
  EXPECT_NE(text.find("0.9524 ["), std::string::npos) << text;
}

}  // namespace
}  // namespace eaq

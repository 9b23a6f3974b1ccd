// A measurement written to files: whoever reads them finds its figures again, or the line that is wrong.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "eaq/measure/lab.h"

namespace eaq {
namespace {

using lab::Lab;
using lab::plain;
using lab::quick;

void expect_same(const Interval& a, const Interval& b) {
  EXPECT_DOUBLE_EQ(a.mean, b.mean);
  EXPECT_DOUBLE_EQ(a.low, b.low);
  EXPECT_DOUBLE_EQ(a.high, b.high);
}

TEST(Files, EveryIntervalCanBeRecomputedFromSamplesAndVisits) {
  Lab lab(R"({"schema":"eaq.synthetic/1","idle_W":80,"noise_W":3,"step_mJ":50,"watts":{"linear":{"fp32":300,"*":180}},"seed":5,
              "faults":[{"t_s":20,"kind":"gap"}]})");
  lab.add({.format = "fp32", .jitter = 0.01, .samples_per_run = 32});
  lab.add({.format = "int8, with \"commas\"", .parts = {{"linear", 0.007}}, .jitter = 0.01, .samples_per_run = 32});
  const MeasureResult r = measure_blocks(lab.workloads, lab.meters, lab.clock, quick(8));
  const auto folder = std::filesystem::temp_directory_path() / ("eaq-files-" + std::to_string(::getpid()));
  std::filesystem::create_directory(folder);
  write_samples(folder / "samples.csv.zst", r.record);
  write_visits(folder / "visits.csv", r.visits);

  std::vector<Visit> visits = read_visits(folder / "visits.csv");
  const SampleRecord record = read_samples(folder / "samples.csv.zst");
  std::filesystem::remove_all(folder);
  for (Visit& v : visits) v.joules.reset(), v.edges = 0;  // from the samples alone, but for the void mark
  const AnalysisOptions options{.headline = {0}};
  weigh_visits(visits, record, options);
  const std::vector<std::int64_t> samples{32, 32};
  const MeasureResult again = analyse(visits, record, samples, options);
  for (std::size_t w = 0; w < 2; ++w) {
    const auto same = std::find_if(again.workloads.begin(), again.workloads.end(),
                                   [&](const WorkloadResult& x) { return x.format == r.workloads[w].format; });
    ASSERT_NE(same, again.workloads.end());
    expect_same(same->energy->mJ_per_sample.ci95, r.workloads[w].energy->mJ_per_sample.ci95);
    expect_same(same->energy->dynamic_mJ_per_sample->ci95, r.workloads[w].energy->dynamic_mJ_per_sample->ci95);
    expect_same(same->latency_ms.ci95, r.workloads[w].latency_ms.ci95);
    EXPECT_GT(same->energy->mJ_per_sample.ci95.high, same->energy->mJ_per_sample.ci95.low);
  }
  const bool swapped = again.workloads[0].format != r.workloads[0].format;  // numbered in order of appearance
  Interval ratio = *again.pairs[0].energy_ratio;
  if (swapped) ratio = {1 / ratio.mean, 1 / ratio.high, 1 / ratio.low};
  EXPECT_NEAR(ratio.mean, r.pairs[0].energy_ratio->mean, 1e-12);
  EXPECT_NEAR(ratio.low, r.pairs[0].energy_ratio->low, 1e-12);
  EXPECT_NEAR(ratio.high, r.pairs[0].energy_ratio->high, 1e-12);
}

TEST(Files, AStudysRecordPlaysAgainAsAMeter) {
  Lab lab(plain);
  lab.add({});
  const MeasureResult r = measure_blocks(lab.workloads, lab.meters, lab.clock, quick(1));
  const auto file = std::filesystem::temp_directory_path() / ("eaq-again-" + std::to_string(::getpid()) + ".csv.zst");
  write_samples(file, r.record);
  VirtualClock clock;
  const std::vector<std::string> specs{"replay:" + file.string()};
  MeterSet meters = open_meters(specs, std::nullopt, {.clock = &clock});
  std::filesystem::remove(file);
  Sampler sampler(meters, clock);
  clock.sleep_until(clock.now() + Seconds(5));
  const SampleRecord again = sampler.stop();
  const auto& visit = r.visits[0];
  EXPECT_NEAR(window_energy(again.zones[0], visit.start, visit.end).joules->value(), visit.joules->value(),
              0.01 * visit.joules->value());
  EXPECT_EQ(again.zones[0].label, MeterLabel::replayed);
}

TEST(Files, AMalformedVisitNamesItsLine) {
  const auto file = std::filesystem::temp_directory_path() / ("eaq-bad-" + std::to_string(::getpid()) + ".csv");
  write_text(file,
             "block,position,model,format,phase,start_s,end_s,iterations,joules,edges,temperature_C,clock_MHz,void\n1,2,3\n");
  try {
    read_visits(file);
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("line 2"), std::string::npos) << e.what();
  }
  std::filesystem::remove(file);
}

}  // namespace
}  // namespace eaq

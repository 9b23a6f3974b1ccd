#include "eaq/report/report.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <sstream>

#include "eaq/measure/measure.h"
#include "eaq/report/page/assets.h"
#include "eaq/report/page/charts.h"
#include "eaq/report/page/html.h"
#include "eaq/report/profile_parts.h"

namespace eaq {
namespace {

const std::string kept = std::string(EAQ_SOURCE_DIR) + "/docs/results/study-gpt2-small-nvidia-h200";

PageInput kept_input() { return read_page_input(kept); }
Study kept_study() { return read_study(kept + "/study.json"); }

// The page without its scripts: what a reader sees without JavaScript.
std::string without_scripts(std::string html) {
  for (std::size_t at = html.find("<script"); at != std::string::npos; at = html.find("<script", at))
    html.erase(at, html.find("</script>", at) + 9 - at);
  return html;
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++count;
  return count;
}

Profile small_profile() {
  Profile profile;
  const Study study = kept_study();
  profile.manifest = study.manifest;
  profile.run = study.runs[1];
  ImpactRecord impact{872, {1.5e-3, {{5e-4, 2.5e-3}}, {}}, 3, {}, Figure{-0.001, {{-0.004, 0.002}}, {}}, true};
  SiteRecord site{"transformer.h.0.mlp.c_fc", "linear", "fp16", "", 1024, 2048, 4096, Figure{0.123, {{0.12, 0.126}}, {}}};
  site.mJ = Figure{3, {{2.8, 3.2}}, {}};
  site.mJ_time_share = 2.5;
  site.share = 0.25;
  site.bound_by = "memory";
  site.impact = {{"int8", impact}};
  site.ablation = impact;
  SiteRecord fused{"transformer.h.0.mlp.act", "activation", "fp16", "transformer.h.0.mlp.c_fc"};
  profile.sites = {site, fused};
  profile.additivity = {{"loops", {{90, {{85, 95}}, {}}, {100, {{99, 101}}, {}}, {-0.1, {{-0.15, -0.05}}, {}}}}};
  profile.roofline = RooflineRecord{{100, {}, {}}, {0.5, {}, {}}, {80, {}, {}}, 0.97};
  profile.correlations =
      CorrelationRecord{{"mJ", "kl int8"}, 12, {{1, std::nan("")}, {std::nan(""), 1}}, {{1, 0.4}, {0.4, 1}}, {}, {}};
  profile.guidelines = {{"mlp", "int8", "quantise", "saves 12 %"}};
  profile.claims = {{"the head is highest in both", "confirmed", "31 % of the joules"}};
  return profile;
}

PageInput input_of(Profile profile) { return {"profile.json", std::move(profile), {}, {}, ""}; }

TEST(Page, IsOneFileUnderThreeMegabytesThatFetchesNothing) {
  const std::string html = html_page({kept_input()}, {});
  EXPECT_LT(html.size(), 3000000u);
  EXPECT_TRUE(has(html, "default-src 'none'; script-src 'sha256-"));
  EXPECT_FALSE(has(html, "unsafe-eval"));
  const std::string seen = without_scripts(html);
  for (const char* fetch : {"src=", "url(", "@import", "href=\"http", "href=\"//", "srcset"})
    EXPECT_FALSE(has(seen, fetch)) << fetch;
}

// The cells of study.md, which another writer made of the same study: of lines such as "| fp32 | 51.59 ±0.00 | ... |", each with
// the sign of a comparison taken off.
std::vector<std::string> kept_cells() {
  std::ifstream file(kept + "/study.md");
  std::vector<std::string> cells;
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("| fp") && !line.starts_with("| bf")) continue;
    std::istringstream row(line.substr(2));
    for (std::string cell; std::getline(row, cell, '|');) {
      cell.erase(0, cell.find_first_not_of(' '));
      cell.erase(cell.find_last_not_of(" =*") + 1);
      if (!cell.empty()) cells.push_back(cell);
    }
  }
  return cells;
}

TEST(Page, HoldsEveryFigureOfTheTableWithoutScripts) {
  const std::string seen = without_scripts(html_page({kept_input()}, {}));
  const std::vector<std::string> cells = kept_cells();
  EXPECT_EQ(cells.size(), 6u * 8);
  for (const std::string& cell : cells) EXPECT_TRUE(has(seen, ">" + cell + "<") || has(seen, ">" + cell + " ")) << cell;
  const double joules = kept_study().runs.front().energy->mJ_per_sample.mean;  // over 1000 mJ: written without decimals
  EXPECT_TRUE(has(seen, ">" + std::to_string(std::lround(joules)) + " [")) << joules;
  for (const char* part : {"paired t, p 0.", "Method and manifest",
                           "sha256:b25ef8fcb29d3c38bd876e060c02db928ce508acdd4bd6f06738af34ce9d92cb", "--min-seconds 4"})
    EXPECT_TRUE(has(seen, part)) << part;
}

TEST(Page, NamesFromAResultAreTextWhateverTheyHold) {
  const std::string evil = "</script><script>harm()</script><img src=x onerror=\"harm()\">\xe2\x80\xa8";
  Study study = kept_study();
  for (auto& run : study.runs) run.model = run.format = evil;
  study.manifest.device.name = study.manifest.command[0] = study.manifest.no_meter = evil;
  study.refused = {{evil, evil, evil}};
  Profile profile = small_profile();
  profile.sites[0].site = profile.sites[0].kind = profile.guidelines[0].advice = evil;
  const std::string html =
      html_page({{evil, study, {{evil, evil, {{0, 1}, {1, 2}}}}, {{0, 1, evil, evil, evil, 5}}, evil}, input_of(profile)}, {});
  EXPECT_FALSE(has(html, "<script>harm"));
  EXPECT_FALSE(has(without_scripts(html), "<img"));
  // Every <script> is the page's own: specifications, which are data, and what the policy names by its hash.
  std::size_t scripts = 0, data = 0;
  for (std::size_t at = html.find("<script"); at != std::string::npos; at = html.find("<script", at + 1)) {
    ++scripts;
    if (html.compare(at, 33, "<script type=\"application/json\">\n") == 0 ||
        html.compare(at, 32, "<script type=\"application/json\">") == 0)
      ++data;
  }
  EXPECT_EQ(scripts, data + page::chart_libraries().size() + 1);
}

TEST(Page, JsonInAScriptHasNoSignThatEndsIt) {
  const std::string text = page::script_safe(Json{{"a", "</script><!--&\xe2\x80\xa8\xe2\x80\xa9\xff"}});
  for (const char* sign : {"<", ">", "&", "\xe2\x80\xa8", "\xe2\x80\xa9"}) EXPECT_FALSE(has(text, sign)) << text;
}

TEST(Page, HasChartsOrSaysWhyNot) {
  const std::string html = html_page({kept_input()}, {});
  if (page_charts_left_out().empty()) {
    EXPECT_TRUE(has(html, "https://vega.github.io/schema/vega-lite"));
    EXPECT_FALSE(page::chart_libraries().empty());
    EXPECT_FALSE(has(html, "tables and no charts"));
  } else {
    EXPECT_TRUE(page::chart_libraries().empty());
    EXPECT_TRUE(has(html, "tables and no charts"));
    EXPECT_TRUE(has(html, std::string(page_charts_left_out())));
    EXPECT_FALSE(has(html, "<figure"));
  }
}

TEST(Page, AMillionInferencesCostWhatTheirJoulesAre) {
  Study study = kept_study();
  study.runs.resize(1);
  study.runs[0].energy->mJ_per_sample = Figure{3600, {{1800, 5400}}, {}};  // 3600 J a thousand: 1 kWh a million
  const std::string seen = without_scripts(html_page({{"s", study, {}, {}, ""}}, {.price_per_kWh = 0.25, .grams_per_kWh = 400}));
  for (const char* figure : {"1.00 [0.500, 1.50]", "0.250 [0.125, 0.375]", "0.400 [0.200, 0.600]"})
    EXPECT_TRUE(has(seen, figure)) << figure;
}

TEST(Page, WithoutAMeterItHasNoJoulesAndSaysWhy) {
  Study study = kept_study();
  study.manifest.meters.clear();
  study.manifest.no_meter = "no energy meter here";
  for (auto& run : study.runs) {
    run.energy.reset();
    run.energy_unavailable = "no energy meter here";
  }
  for (auto& c : study.comparisons) c.energy_ratio.reset();
  const std::string seen = without_scripts(html_page({{"s", study, {}, {}, "no meter"}}, {}));
  EXPECT_TRUE(has(seen, "No energy columns: no energy meter here"));
  EXPECT_TRUE(has(seen, "No power traces"));
  EXPECT_FALSE(has(seen, "A million inferences"));
  EXPECT_FALSE(has(seen, "0 mJ"));
}

TEST(Page, TheOriginalStudysFiguresStandInAColumnOfTheirOwn) {
  const std::string seen = without_scripts(
      html_page({read_page_input(std::string(EAQ_SOURCE_DIR) + "/docs/results/study-distilbert-sst2-nvidia-h200")}, {}));
  for (const char* part : {"original study, Tesla T4", "32.66", "1480.05", "are not eaq&#39;s"})
    EXPECT_TRUE(has(seen, part)) << part;
  Study other = kept_study();
  other.manifest.models[0].parameters = 1000;
  EXPECT_FALSE(has(html_page({{"s", other, {}, {}, ""}}, {}), "Beside the original study"));
}

TEST(Page, OfAProfileHasEverySitesFigures) {
  const std::string seen = without_scripts(html_page({input_of(small_profile())}, {}));
  for (const char* part : {"transformer.h.0.mlp.c_fc", "0.123 \u00b10.003", "3.00 \u00b10.20", "25.0",
                           "1.5e-03 [5.0e-04, 2.5e-03] ~", "-10.0 % [-15.0, -5.0]", "one step with transformer.h.0.mlp.c_fc",
                           "0.500 pJ a flop", "quantise", "31 % of the joules", "Energy roofline"})
    EXPECT_TRUE(has(seen, part)) << part;
}

TEST(Page, WhatTimeSharesGetWrongStandsBelowTheSums) {
  const Profile profile = small_profile();
  const std::string words = page::escaped(time_share_error(profile));
  EXPECT_TRUE(has(words, "Time share x mean power")) << words;
  EXPECT_TRUE(has(without_scripts(html_page({input_of(profile)}, {})), words));
}

TEST(Page, InPlaceAloneHasChartsOfItsJoules) {
  Profile profile = small_profile();
  const auto specification = [](const Profile& of) { return page::site_cost_charts(of).at(0); };
  EXPECT_TRUE(has(specification(profile).spec.dump(), "mJ, loops"));
  for (SiteRecord& site : profile.sites) site.mJ.swap(site.mJ_in_place);
  const page::PageChart costs = specification(profile);
  EXPECT_EQ(costs.title, "Joules of each part");
  EXPECT_TRUE(has(costs.spec.dump(), "mJ, in place"));
  EXPECT_FALSE(has(costs.spec.dump(), "mJ, loops"));
  EXPECT_TRUE(has(costs.method, "in place"));
  EXPECT_EQ(page::roofline_charts(profile).size(), 1u);
  for (SiteRecord& site : profile.sites) site.mJ_in_place.reset();
  EXPECT_EQ(specification(profile).title, "Time of each part");
  EXPECT_TRUE(page::roofline_charts(profile).empty());
}

TEST(Page, AProfileOfNothingIsAPage) {
  Profile profile;
  profile.manifest = kept_study().manifest;
  profile.interrupted = true;
  profile.correlations = CorrelationRecord{};
  profile.roofline = RooflineRecord{};
  EXPECT_TRUE(has(html_page({input_of(profile)}, {}), "Interrupted"));
}

TEST(Page, ATraceIsThinnedAndLosesNoPeak) {
  ZoneRecord zone;
  zone.name = "nvml:GPU-0";
  for (int i = 0; i < 100000; ++i)
    zone.samples.push_back({Seconds(i * 0.01), std::nullopt, Watts(i == 77777 ? 512.5 : 100 + i % 7), Fault::none, ""});
  const PageInput input = page_input("s", kept_study(), SampleRecord{{zone}, 0}, {});
  ASSERT_EQ(input.power.size(), 1u);
  EXPECT_LE(input.power[0].watts.size(), 1500u);
  double peak = 0;
  for (const auto& point : input.power[0].watts) peak = std::max(peak, point.value);
  EXPECT_EQ(peak, 512.5);
}

TEST(Page, ManyTracesAreThinnedUntilThePageIsLightEnough) {
  PageInput input = page_input("s", kept_study(), SampleRecord{}, {});
  for (int zone = 0; zone < 80; ++zone) {
    PowerTrace& trace = input.power.emplace_back(PowerTrace{"zone " + std::to_string(zone), "measured", {}});
    for (int i = 0; i < 1500; ++i) trace.watts.push_back({i * 1.2345, 100 + i * 0.12345});
  }
  const std::string text = html_page({input}, {});
  EXPECT_LE(text.size(), most_page_bytes);
  EXPECT_TRUE(has(text, "Power of zone 79"));
  if (page::chart_libraries().empty()) return;  // tables alone: no points
  input.power.resize(1);
  EXPECT_EQ(count_of(html_page({input}, {}), "\"w\":"), 1500u);  // alone it keeps every point
}

TEST(Page, ACounterAloneGivesThePowerBetweenItsEdges) {
  ZoneRecord zone;
  zone.name = "rapl:package-0";
  for (const auto& [t, joules] : {std::pair{0.0, 100.0}, {0.5, 150.0}, {1.0, 10.0}, {2.0, 60.0}})  // it wrapped at 1 s
    zone.samples.push_back({Seconds(t), Joules(joules), std::nullopt, Fault::none, ""});
  const PageInput input = page_input("s", kept_study(), SampleRecord{{zone}, 0}, {});
  ASSERT_EQ(input.power.size(), 1u);
  ASSERT_EQ(input.power[0].watts.size(), 2u);
  EXPECT_DOUBLE_EQ(input.power[0].watts[0].value, 100);
  EXPECT_DOUBLE_EQ(input.power[0].watts[1].value, 50);
}

TEST(Page, OfAProfileTracesAreNamedByTheirWay) {
  ZoneRecord zone;
  zone.name = "nvml:GPU-0";
  for (int i = 0; i < 10; ++i) zone.samples.push_back({Seconds(i), std::nullopt, Watts(100 + i), Fault::none, ""});
  const auto folder = std::filesystem::temp_directory_path() / ("eaq-page-" + std::to_string(::getpid()));
  std::filesystem::create_directory(folder);
  write_samples(folder / "samples-loops.csv.zst", SampleRecord{{zone}, 0});
  const PageInput input = page_input("p", small_profile(), folder);
  std::filesystem::remove_all(folder);
  ASSERT_EQ(input.power.size(), 1u);
  EXPECT_EQ(input.power[0].zone, "nvml:GPU-0, loops");
  EXPECT_TRUE(has(html_page({input}, {}), "Power of nvml:GPU-0, loops"));
}

TEST(Page, WhatIsNoResultIsAnErrorThatNamesTheFile) {
  EXPECT_THROW(read_page_input(std::string(EAQ_SOURCE_DIR) + "/docs"), Error);
  EXPECT_THROW(read_page_input("/nowhere/study.json"), Error);
}

TEST(Page, StudiesOfOneNameAreToldApartByTheirFormats) {
  PageInput few = kept_input();
  std::get<Study>(few.result).runs.resize(1);
  const std::string page = html_page({kept_input(), few}, {});
  EXPECT_TRUE(has(page, "on NVIDIA H200 (fp32, fp16, bf16)</a>"));
  EXPECT_TRUE(has(page, "on NVIDIA H200 (fp32)</a>"));
  EXPECT_TRUE(has(html_page({few}, {}), "on NVIDIA H200</a>"));
}

TEST(Page, NumbersSortByWhatTheyBeginWith) {
  EXPECT_EQ(page::leading_number("45 070"), 45070);
  EXPECT_EQ(page::leading_number("10.1x [10.1,10.2]"), 10.1);
  EXPECT_EQ(page::leading_number("1.2e-06"), 1.2e-6);
  EXPECT_EQ(page::leading_number("9.51 \u00b10.02"), 9.51);
  EXPECT_EQ(page::leading_number("88.65 ="), 88.65);
  EXPECT_FALSE(page::leading_number("-"));
}

}  // namespace
}  // namespace eaq

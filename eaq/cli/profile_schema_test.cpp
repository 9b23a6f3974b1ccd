// Profiles hold to the schema in docs/.
#include "eaq/base/json.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "eaq/base/base.h"
#include "eaq/cli/program.h"
#include "eaq/result/result.h"

namespace eaq {

std::string program::profile_schema() {
  const std::string docs = std::string(EAQ_SOURCE_DIR) + "/docs/", other = "study.schema.json#";
  std::string text = read_text(docs + "profile.schema.json");
  for (std::size_t at = text.find(other); at != std::string::npos; at = text.find(other, at)) text.replace(at, other.size(), "#");
  Json schema = parse_json(text, "profile.schema.json");
  const Json study = parse_json(read_text(docs + "study.schema.json"), "study.schema.json");
  for (const auto& [name, rule] : study.at("$defs").items()) {
    EXPECT_FALSE(schema["$defs"].contains(name)) << name << " stands in both";
    schema["$defs"][name] = rule;
  }
  return schema.dump();
}

namespace {

std::string errors_of(const Profile& profile) { return program::schema_errors(program::profile_schema(), to_json(profile)); }

Figure figure(double mean) { return {mean, {{mean - 1, mean + 1}}, {}}; }

// The least that a profile has: no meter, no impact, nothing that was fitted.
Profile least() {
  const std::string hash = "sha256:" + std::string(64, 'a');
  Profile p;
  Manifest& m = p.manifest;
  m.eaq = "0.1.0", m.commit = "0123456789ab", m.host.cores = 2, m.host.memory_bytes = 1, m.no_meter = "none";
  m.started = "2026-11-24T10:00:00Z";
  m.models = {{"tiny-gpt2", "wikitext2", hash, 1352448}};
  m.data = {{"wikitext2", "wikitext2", hash, 1456, 372000}};
  auto& run = p.run;
  run.model = "tiny-gpt2", run.task = "wikitext2", run.format = "fp16", run.phase = "forward", run.unit = "window";
  run.recipe = R"({"schema":"eaq.recipe/1","default":"fp16","sites":{}})";
  run.size_bytes = 1;
  p.sites = {{"transformer.h.0.mlp.act", "activation", "fp16", "transformer.h.0.mlp.c_fc"}};
  return p;
}

Profile whole() {
  Profile p = least();
  ImpactRecord impact{872, figure(2), 3, figure(0), figure(-0.1), true};
  SiteRecord site{"transformer.h.0.mlp.c_fc", "linear", "fp16", "", 1024, 2048, 4096, figure(1), figure(2), figure(3), 2.5, 0.25};
  site.bound_by = "memory", site.impact = {{"int8", impact}}, site.ablation = impact, site.notes = {"a note"};
  p.sites.push_back(site);
  p.parts = {
      {"loops", "0.1.0", "0123456789ab", "2026-11-24T10:00:00Z", 12.5, p.manifest.device, {"eaq", "profile", "tiny-gpt2"}}};
  p.additivity = {{"loops", {figure(90), figure(100), figure(-0.1)}},
                  {"in_place", {{90, {}, {}}, {100, {}, {}}, {-0.1, {}, {}}}}};
  p.roofline = RooflineRecord{figure(100), {0, {}, {}}, figure(80), 0.97, {"a note"}};
  p.correlations = CorrelationRecord{{"mJ", "kl int8"}, 12, {{1, NAN}, {NAN, 1}}, {{1, 0.4}, {0.4, 1}}, {}, {}};
  p.correlations->pearson_ci95 = p.correlations->spearman_ci95 = {{{1, 1}, {NAN, NAN}}, {{0, 0.8}, {1, 1}}};
  p.guidelines = {
      {"mlp", "int8", "quantise", "why"}, {"attn", "int8", "keep", "why"}, {"wte", "int8", "no difference shown", "why"}};
  p.claims = {{"c", "confirmed", "e"}, {"c", "contradicted", "e"}, {"c", "not testable here", "e"}};
  p.refused = {{"tiny-gpt2", "int3", "no such arithmetic here"}};
  return p;
}

TEST(ProfileSchema, HoldsOfWhatAProfileIsWrittenAs) {
  EXPECT_EQ(errors_of(least()), "");
  EXPECT_EQ(errors_of(whole()), "");
}

TEST(ProfileSchema, HoldsOfTheProfilesThatAreKept) {
  int kept = 0;
  for (const auto& entry : std::filesystem::directory_iterator(std::string(EAQ_SOURCE_DIR) + "/docs/results")) {
    if (!entry.path().filename().string().starts_with("profile-")) continue;
    EXPECT_EQ(program::schema_errors(program::profile_schema(), read_text(entry.path() / "profile.json")), "") << entry.path();
    ++kept;
  }
  EXPECT_GT(kept, 0);
}

TEST(ProfileSchema, NoticesWhatNoProfileSays) {
  Profile p = whole();
  p.guidelines[0].advice = "perhaps";
  p.sites[1].bound_by = "luck";
  p.sites[1].impact["int8"].n = 0;
  p.additivity["guessed"] = p.additivity["loops"];
  const std::string errors = errors_of(p);
  for (const char* place : {"$.guidelines[0].advice", "$.sites[1].bound_by", "$.sites[1].impact.int8.n", "'guessed'"})
    EXPECT_NE(errors.find(place), std::string::npos) << place << " in " << errors;
}

}  // namespace
}  // namespace eaq

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "eaq/base/base.h"
#include "eaq/base/json.h"
#include "eaq/cli/program.h"

namespace eaq::program {
namespace {

// A folder, and in it a meter that knows each kind of step's power.
struct Place {
  std::filesystem::path path = std::filesystem::temp_directory_path() / ("eaq-profile-test-" + std::to_string(::getpid()));
  std::string meter;
  Place() {
    std::filesystem::remove_all(path);
    std::filesystem::create_directories(path);
    write_text(path / "meter.json", R"({"schema": "eaq.synthetic/1", "idle_W": 20, "watts": {"linear": {"*": 300},
      "attention": {"*": 150}, "norm": {"*": 90}, "*": {"*": 120}}, "period_ms": 2, "window_ms": 2, "step_mJ": 0.01, "seed": 1})");
    meter = " --meter synthetic:" + (path / "meter.json").string();
  }
  ~Place() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  std::string out(const std::string& name) const { return " --out " + (path / name).string(); }
  Json result(const std::string& name) const {
    const auto file = path / name / "profile.json";
    return parse_json(read_text(file), file.string());
  }
};

constexpr const char* quick = "profile tiny-distilbert --batch 2 --seq 16 --blocks 1 --min-seconds 0.08 --threads 1 --limit 8 ";

TEST(ProfileCommand, GivesEverySiteAndStepWithTimeJoulesAndImpact) {
  const Place place;
  const Outcome outcome = run(quick + std::string("--impact int8 --json") + place.meter + place.out("a"));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json profile = parse_json(outcome.out, "standard output");
  EXPECT_EQ(profile, place.result("a"));
  EXPECT_EQ(schema_errors(profile_schema(), outcome.out), "");
  EXPECT_EQ(profile.at("interrupted"), false);
  int impacts = 0, ablations = 0, weighed = 0;
  for (const Json& site : profile.at("sites")) {
    const bool runs = !site.contains("fused_into") && site.at("site") != "distilbert.first_token";  // selected by the way
    EXPECT_EQ(site.at("time_ms").is_null(), !runs) << site.at("site");
    EXPECT_EQ(site.at("mJ_time_share").is_null(), !runs) << site.at("site");
    weighed += site.at("mJ").is_number() && site.at("mJ_in_place").is_number();
    impacts += site.at("impact").contains("int8");
    ablations += site.at("ablation").is_object();
  }
  EXPECT_GT(weighed, 10);
  EXPECT_GT(impacts, 8);
  EXPECT_GT(ablations, impacts);
  for (const char* way : {"loops", "in_place"}) {
    EXPECT_TRUE(profile.at("additivity").contains(way));
    EXPECT_TRUE(std::filesystem::exists(place.path / "a" / ("visits-" + std::string(way) + ".csv")));
    EXPECT_TRUE(std::filesystem::exists(place.path / "a" / ("samples-" + std::string(way) + ".csv.zst")));
  }
  EXPECT_EQ(profile.at("run").at("energy").at("label"), "synthetic");
}

TEST(ProfileCommand, GoesOnWithoutDoingAgainWhatIsThere) {
  const Place place;
  ASSERT_EQ(run(quick + std::string("--no-impact") + place.meter + place.out("a")).code, 0);
  const Json first = place.result("a");
  // A finished profile is not overwritten, but where one goes on.
  EXPECT_EQ(run(quick + place.meter + place.out("a")).code, 2);
  ASSERT_EQ(run(quick + std::string("--impact int8 --resume") + place.meter + place.out("a")).code, 0);
  const Json second = place.result("a");
  EXPECT_EQ(first.at("additivity").size(), 2u);
  EXPECT_EQ(second.at("additivity"), first.at("additivity"));
  for (const char* what : {"blocks", "visit_s"}) {
    ASSERT_TRUE(first.at("manifest").at("protocol").at(what).is_number()) << what;
    EXPECT_EQ(second.at("manifest").at("protocol").at(what), first.at("manifest").at("protocol").at(what));
  }
  // Who found what, of each call.
  const Json& parts = second.at("parts");
  ASSERT_EQ(parts.size(), 3u);
  EXPECT_EQ(parts[0], first.at("parts")[0]);
  EXPECT_EQ(parts[1].at("what"), "in_place");
  EXPECT_EQ(parts[2].at("what"), "impact of int8; ablations");
  const Json &weighed = parts[0].at("command"), &judged = parts[2].at("command");
  EXPECT_NE(std::find(weighed.begin(), weighed.end(), "--no-impact"), weighed.end());
  EXPECT_EQ(std::find(judged.begin(), judged.end(), "--no-impact"), judged.end());
  for (const Json& part : parts) EXPECT_GT(part.at("seconds").get<double>(), 0);
  // The first call's samples are on this call's page.
  EXPECT_EQ(read_text(place.path / "a" / "report.html").find("No power traces"), std::string::npos);
  ASSERT_EQ(second.at("sites").size(), first.at("sites").size());
  for (std::size_t i = 0; i < first.at("sites").size(); ++i) {
    EXPECT_EQ(second.at("sites")[i].at("mJ"), first.at("sites")[i].at("mJ"));
    EXPECT_TRUE(first.at("sites")[i].at("impact").empty());
  }
  EXPECT_TRUE(second.at("sites")[0].at("impact").contains("int8"));
  // What was found of another format is not this one's.
  const Outcome other = run(quick + std::string("--format bf16 --resume") + place.meter + place.out("a"));
  EXPECT_EQ(other.code, 2);
  EXPECT_NE(other.err.find("earlier profile is of another model, format, shape or device"), std::string::npos) << other.err;
}

TEST(ProfileCommand, WithoutFusionsEveryStepHasTimeAndJoulesOfItsOwn) {
  const Place place;
  const std::string ways = "--no-impact --ways loops ";
  ASSERT_EQ(run(quick + ways + "--no-fusions" + place.meter + place.out("a")).code, 0);
  const Json profile = place.result("a");
  EXPECT_EQ(schema_errors(profile_schema(), profile.dump()), "");
  std::set<std::string> kinds;
  for (const Json& site : profile.at("sites"))
    if (site.at("mJ").is_number()) kinds.insert(site.at("kind").get<std::string>());
  for (const char* kind : {"embedding", "norm", "linear", "attention", "residual", "activation"})
    EXPECT_TRUE(kinds.contains(kind)) << kind;
  // It is no other program's beginning.
  EXPECT_EQ(run(quick + std::string("--no-impact --resume") + place.meter + place.out("a")).code, 2);
}

TEST(ProfileCommand, WithoutAMeterTellsTimesAndNoJoules) {
  const Place place;
  const Outcome outcome = run(quick + std::string("--no-impact --meter none") + place.out("a"));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json profile = place.result("a");
  EXPECT_TRUE(profile.at("additivity").empty());
  EXPECT_TRUE(profile.at("run").at("energy").is_null());
  EXPECT_TRUE(profile.at("run").contains("energy_unavailable"));
  for (const Json& site : profile.at("sites")) EXPECT_TRUE(site.at("mJ").is_null() && site.at("mJ_in_place").is_null());
}

TEST(ProfileCommand, RefusesWhatIsNoOneProgram) {
  EXPECT_EQ(run("profile tiny-gpt2 --batch 1,2").code, 2);
  EXPECT_EQ(run("profile tiny-gpt2 --ways sideways").code, 2);
  EXPECT_EQ(run("profile tiny-gpt2 --impact fp3").code, 2);
  EXPECT_EQ(run("profile tiny-gpt2 --resume").code, 2);
  EXPECT_EQ(run("profile ./nowhere").code, 3);
}

}  // namespace
}  // namespace eaq::program

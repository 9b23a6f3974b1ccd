// `eaq measure` as a user runs it.
#include <gtest/gtest.h>

#include "eaq/base/base.h"
#include "eaq/base/json.h"
#include "eaq/cli/program.h"

namespace eaq {
namespace {

using program::Outcome;
using program::run;

// The summary as JSON, held to its schema.
Json summary(const std::string& text) {
  Json schema = parse_json(read_text(std::string(EAQ_SOURCE_DIR) + "/docs/outputs.schema.json"), "schema");
  schema["$ref"] = "#/$defs/measure";
  EXPECT_EQ(program::schema_errors(schema.dump(), text), "") << text;
  return parse_json(text, "summary");
}

TEST(MeasureCommand, LeavesTheStreamsAndTheExitCodeAlone) {
  write_text(program::folder() / "in.txt", "in\n");
  const Outcome outcome = run("measure --meter none -- sh -c 'cat; echo out; echo err >&2; exit 7'", "", "<in.txt");
  EXPECT_EQ(outcome.code, 7);
  EXPECT_EQ(outcome.out, "in\nout\n");
  EXPECT_EQ(outcome.err.substr(0, 4), "err\n");
  EXPECT_NE(outcome.err.find("sh: exit code 7\n"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("energy  not available: switched off by --meter none"), std::string::npos) << outcome.err;
}

TEST(MeasureCommand, AStatedPowerTimesTheSeconds) {
  const Outcome outcome = run("measure --assume-watts 50 --json -- sh -c 'sleep 0.3; exit 3'");
  EXPECT_EQ(outcome.code, 3);
  EXPECT_EQ(outcome.out, "");
  const Json json = summary(outcome.err);
  EXPECT_EQ(json["exit_code"], 3);
  EXPECT_EQ(json["command"][0], "sh");
  const double seconds = json["seconds"];
  EXPECT_GE(seconds, 0.3);
  const Json& energy = json["energy"];
  EXPECT_NEAR(energy["J"].get<double>(), 50 * seconds, 1e-6);
  EXPECT_NEAR(energy["ci95"][1].get<double>() - energy["ci95"][0].get<double>(), 0, 1e-6);
  EXPECT_EQ(energy["label"], "assumed");
  EXPECT_NEAR(energy["zones"]["assumed:machine"].get<double>(), 50 * seconds, 1e-6);
}

TEST(MeasureCommand, WithoutAMeterEnergyIsNullWithTheReason) {
  const Outcome outcome = run("measure --json -o none.json -- true", "EAQ_SYSFS_ROOT=/nowhere");
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.err, "");
  const Json json = summary(read_text(program::folder() / "none.json"));
  EXPECT_TRUE(json["energy"].is_null());
  EXPECT_NE(json["energy_unavailable"].get<std::string>().find("--assume-watts"), std::string::npos);
}

TEST(MeasureCommand, OwnFailuresAre125To127AsThoseOfEnv) {
  const std::pair<const char*, int> cases[] = {{"measure", 125},
                                               {"measure --frobnicate -- true", 125},
                                               {"measure true", 125},
                                               {"measure --repeat 0 -- true", 125},
                                               {"measure --meter nothing -- true", 125},
                                               {"measure --meter rapl -- true", 125},
                                               {"measure --assume-watts 5 --zones gpu -- true", 125},
                                               {"measure -o /nowhere/x -- true", 125},
                                               {"measure --meter none -- eaq-no-such-command", 127},
                                               {"measure --meter none -- /", 126}};
  for (const auto& [command, code] : cases) {
    const Outcome outcome = run(command, "EAQ_SYSFS_ROOT=/nowhere");
    EXPECT_EQ(outcome.code, code) << command << "\n" << outcome.err;
    EXPECT_NE(outcome.err.find("eaq: "), std::string::npos) << command;
  }
  EXPECT_NE(run("measure sleep 1").err.find("eaq measure -- "), std::string::npos);
}

TEST(MeasureCommand, ASignalOfTheCommandIs128AndItsNumber) {
  const Outcome outcome = run("measure --meter none -- sh -c 'kill -TERM $$'");
  EXPECT_EQ(outcome.code, 128 + 15);
  EXPECT_NE(outcome.err.find("ended by signal 15"), std::string::npos) << outcome.err;
}

TEST(MeasureCommand, ASignalToEaqReachesTheCommandAndIsSummarised) {
  const Outcome outcome = run("measure --meter none --json -- sh -c 'trap \"exit 9\" TERM; while :; do sleep 0.01; done'",
                              "timeout --foreground --preserve-status -s TERM 3");
  EXPECT_EQ(outcome.code, 9);
  EXPECT_EQ(summary(outcome.err)["exit_code"], 9);
}

TEST(MeasureCommand, RepeatsGiveAMeanWithAnIntervalAndEndWithAFailure) {
  const Outcome outcome = run("measure --assume-watts 20 --repeat 3 --json -- sh -c 'echo x; sleep 0.05'");
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.out, "x\nx\nx\n");
  const Json json = summary(outcome.err);
  ASSERT_EQ(json["runs"].size(), 3u);
  double sum = 0;
  for (const Json& one : json["runs"]) sum += one["J"].get<double>() / 3;
  EXPECT_NEAR(json["energy"]["J"].get<double>(), sum, 1e-9);
  EXPECT_LE(json["energy"]["ci95"][0].get<double>(), sum);
  EXPECT_GE(json["energy"]["ci95"][1].get<double>(), sum);
  const Outcome failing = run("measure --assume-watts 20 --repeat 9 -- sh -c 'echo x; exit 4'");
  EXPECT_EQ(failing.code, 4);
  EXPECT_EQ(failing.out, "x\n");
  EXPECT_NE(failing.err.find("9 were asked for"), std::string::npos) << failing.err;
}

// 40 W from another program: known joules through a real pipe and a real clock.
TEST(MeasureCommand, AnotherProgramsWattsAreIntegrated) {
  write_text(program::folder() / "watts.sh",
             "while :; do printf '%s,40\\n' \"$(cut -d' ' -f1 /proc/uptime)\"; sleep 0.05; done\n");
  const Outcome outcome = run("measure --meter 'exec:sh watts.sh' --idle 1 --json -- sleep 1");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json json = summary(outcome.err);
  ASSERT_FALSE(json["energy"].is_null()) << outcome.err;
  EXPECT_EQ(json["energy"]["label"], "measured");
  EXPECT_EQ(json["energy"]["method"], "integral");
  EXPECT_NEAR(json["energy"]["J"].get<double>(), 40 * json["seconds"].get<double>(), 0.5);
  EXPECT_NEAR(json["energy"]["above_idle"]["J"].get<double>(), 0, 0.5);
  EXPECT_NEAR(json["energy"]["above_idle"]["idle_W"].get<double>(), 40, 0.1);
}

// The synthetic meter sees no steps of another program: it idles.
TEST(MeasureCommand, ASyntheticCounterIdlesBesideAForeignCommand) {
  write_text(program::folder() / "idle.json",
             R"({"schema":"eaq.synthetic/1","idle_W":30,"watts":{"*":{"*":100}},"period_ms":20,"step_mJ":1})");
  const Outcome outcome = run("measure --meter synthetic:idle.json --idle --json -- sleep 0.5");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json json = summary(outcome.err);
  ASSERT_FALSE(json["energy"].is_null()) << outcome.err;
  EXPECT_NEAR(json["energy"]["J"].get<double>(), 30 * json["seconds"].get<double>(), 1);
  EXPECT_EQ(json["energy"]["label"], "synthetic");
  EXPECT_EQ(json["energy"]["method"], "counter");
}

TEST(MeasureCommand, ZonesChooseWhatIsCharged) {
  write_text(program::folder() / "idle.json",
             R"({"schema":"eaq.synthetic/1","idle_W":30,"watts":{"*":{"*":100}},"period_ms":20,"step_mJ":1})");
  const Outcome outcome = run("measure --meter synthetic:idle.json --assume-watts 7 --zones machine --json -- sleep 0.3");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json json = summary(outcome.err);
  EXPECT_NEAR(json["energy"]["J"].get<double>(), 7 * json["seconds"].get<double>(), 1e-6);
  EXPECT_EQ(json["energy"]["charged"], Json::array({"assumed:machine"}));
}

TEST(MeasureCommand, ACommandMayHaveOurOptionsNames) {
  const Outcome outcome = run("measure --meter none -o own.txt -- echo measure --json -- -o x");
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.out, "measure --json -- -o x\n");
  EXPECT_EQ(outcome.err, "");
  EXPECT_NE(read_text(program::folder() / "own.txt").find("echo: exit code 0"), std::string::npos);
}

}  // namespace
}  // namespace eaq

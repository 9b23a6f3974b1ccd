// GCC 12 takes members of std::regex for uninitialised once sanitizers instrument them.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

// What the README and docs/ say is what the program does.
#include "eaq/base/json.h"

#include <gtest/gtest.h>

#include <regex>
#include <set>
#include <sstream>

#include "eaq/base/base.h"
#include "eaq/cli/program.h"

namespace eaq {
namespace {

using program::Outcome;
using program::run;

std::string read_source(const std::string& path) { return read_text(std::string(EAQ_SOURCE_DIR) + "/" + path); }

std::set<std::string> options_in(const std::string& text) {
  static const std::regex option("--[a-z][a-z-]*[a-z]");
  return {std::sregex_token_iterator(text.begin(), text.end(), option), std::sregex_token_iterator()};
}

TEST(Docs, CommandsPageAndHelpNameTheSameOptions) {
  const std::set<std::string> page = options_in(read_source("docs/commands.md"));
  std::set<std::string> help{"--version"};
  for (const char* command : {"study", "profile", "evaluate", "logits", "tokenize", "generate", "inspect", "measure", "compare",
                              "report", "fetch", "meter", "doctor"}) {
    const Outcome outcome = run(std::string(command) + " --help");
    // Spaces stand before what is an option; "--meter" inside a sentence of another's help is none.
    std::istringstream lines(outcome.out);
    for (std::string line; std::getline(lines, line);)
      if (line.starts_with("  -"))
        for (const std::string& option : options_in(line.substr(0, 28))) help.insert(option);
  }
  for (const std::string& option : help) {
    EXPECT_TRUE(page.contains(option)) << "docs/commands.md does not name " << option;
  }
  for (const std::string& option : page) {
    EXPECT_TRUE(help.contains(option)) << "docs/commands.md names " << option << ", which no command has";
  }
}

// Lines of README.md that begin `    build/release/eaq`, without their comments.
std::vector<std::string> readme_commands() {
  std::vector<std::string> commands;
  std::istringstream lines(read_source("README.md"));
  const std::string program = "    build/release/eaq ";
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(program)) commands.push_back(line.substr(program.size(), line.find('#') - program.size()));
  return commands;
}

// What stands before a command, so that it finds the embedded models under the names of public ones.
std::string hub_with_small_models() {
  const std::filesystem::path hub = program::folder() / "public-hub", models = std::string(EAQ_SOURCE_DIR) + "/models";
  for (const auto& [name, model] : {std::pair("distilbert/distilbert-base-uncased-finetuned-sst-2-english", "tiny-distilbert"),
                                    std::pair("openai-community/gpt2", "tiny-gpt2")}) {
    std::filesystem::create_directories(hub / name);
    for (const auto& file : std::filesystem::directory_iterator(models / model))
      if (file.is_regular_file())
        std::filesystem::copy_file(file, hub / name / file.path().filename(), std::filesystem::copy_options::skip_existing);
  }
  return "python3 '" EAQ_SOURCE_DIR "/eaq/hub/testing/hub_server.py' '" + hub.string() + "' --run";
}

TEST(Readme, ItsCommandsRun) {
  const std::vector<std::string> commands = readme_commands();
  EXPECT_GE(commands.size(), 4u);
  int study = 0;
  for (std::string command : commands) {
    command = std::regex_replace(command, std::regex("path/to/gpt2"), "tiny-gpt2");
    const bool times = command.starts_with("study") || command.starts_with("profile");
    if (times || command.starts_with("evaluate")) command += " --limit 2 --quiet";
    if (times) command += " --blocks 2 --min-seconds 0.01 --meter none --out readme-" + std::to_string(++study);
    // The hub that it names has small models under those names.
    const Outcome outcome = run(command, command.find("hf:") == std::string::npos ? "" : hub_with_small_models());
    EXPECT_EQ(outcome.code, 0) << command << "\n" << outcome.err;
    EXPECT_NE(outcome.out + outcome.err, "") << command;  // measure leaves standard output to its command
  }
}

// The first line of every table: "| format | ms/batch | ...".
std::vector<std::string> table_heads(const std::string& markdown) {
  std::vector<std::string> heads;
  std::istringstream lines(markdown);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with("| format |")) heads.push_back(line);
  return heads;
}

std::vector<std::string> formats_in(const std::string& markdown) {
  std::vector<std::string> formats;
  std::istringstream lines(markdown);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with("| ") && !line.starts_with("| format") && !line.starts_with("| ---"))
      formats.push_back(line.substr(2, line.find_first_of(" |", 2) - 2));
  return formats;
}

TEST(Readme, ItsTablesAreThoseThatAStudyWritesToday) {
  const std::string readme = read_source("README.md");
  const auto begin = readme.find("<!-- study: begin -->"), end = readme.find("<!-- study: end -->");
  ASSERT_TRUE(begin != std::string::npos && end != std::string::npos);
  const std::string tables = readme.substr(begin, end - begin);
  const Outcome outcome = run("study --limit 4 --blocks 2 --min-seconds 0.01 --meter none --quiet --out table");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const std::string fresh = read_text(program::folder() / "table/study.md");
  EXPECT_EQ(table_heads(tables), table_heads(fresh));
  EXPECT_EQ(formats_in(tables), formats_in(fresh.substr(0, fresh.find("## How"))));
}

TEST(Outputs, HoldToTheirSchema) {
  const Json schema = parse_json(read_source("docs/outputs.schema.json"), "schema");
  const std::vector<std::pair<std::string, std::string>> commands{{"meter", "meter"},
                                                                  {"doctor", "doctor"},
                                                                  {"inspect", "inspect tiny-distilbert"},
                                                                  {"inspect", "inspect tiny-gpt2"},
                                                                  {"tokenize", "tokenize tiny-gpt2 joule"},
                                                                  {"generate", "generate tiny-gpt2 The --max-new-tokens 2"}};
  for (const auto& [name, command] : commands) {
    Json one = schema;
    one["$ref"] = "#/$defs/" + name;
    EXPECT_EQ(program::schema_errors(one.dump(), run(command + " --json").out), "") << command;
  }
  Json evaluate{{"$ref", "#/$defs/run"}, {"$defs", parse_json(read_source("docs/study.schema.json"), "schema").at("$defs")}};
  EXPECT_EQ(program::schema_errors(evaluate.dump(), run("evaluate tiny-gpt2 --format bf16 --limit 1 --json").out), "");
}

}  // namespace
}  // namespace eaq

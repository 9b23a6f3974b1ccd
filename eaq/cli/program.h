// For tests: the built program as a user runs it.
#pragma once

#include <filesystem>
#include <string>

namespace eaq::program {

struct Outcome {
  int code = -1;
  std::string out, err;
};

/// Runs `eaq ARGUMENTS` through the shell, in a folder of its own that lasts as long as the process, with a cache of its own.
/// `before` stands in front of the program (environment, timeout), `after` behind it (redirections).
Outcome run(const std::string& arguments, const std::string& before = "", const std::string& after = "");
/// The same with a terminal of 100 columns as its standard output, TERM=xterm; what it said on standard error is left out.
Outcome run_on_terminal(const std::string& arguments, const std::string& before = "");
const std::filesystem::path& folder();

/// What is wrong with `json` by the schema (both as text), one line each; empty where it holds. Knows the keywords that
/// docs/*.schema.json use, and fails on any other.
std::string schema_errors(const std::string& schema, const std::string& json);
/// docs/profile.schema.json in one piece: what it takes from study.schema.json is put in.
std::string profile_schema();

}  // namespace eaq::program

// GCC 12 takes members of std::regex for uninitialised once sanitizers instrument them.
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#include "eaq/base/json.h"

#include <gtest/gtest.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <regex>

#include "eaq/base/base.h"
#include "eaq/cli/program.h"

namespace eaq::program {
namespace {

struct Folder {
  std::filesystem::path path = std::filesystem::temp_directory_path() / ("eaq-cli-test-" + std::to_string(::getpid()));
  Folder() { std::filesystem::create_directories(path); }
  ~Folder() {
    std::error_code error;
    std::filesystem::remove_all(path, error);
  }
};

class Checker {
 public:
  explicit Checker(const Json& schema) : root_(schema) {}
  std::string errors;

  void check(const Json& schema, const Json& value, const std::string& at) {
    for (const auto& [keyword, rule] : schema.items()) {
      if (keyword == "$schema" || keyword == "$defs" || keyword == "title" || keyword == "description") continue;
      if (keyword == "$ref")
        check(root_.at(nlohmann::ordered_json::json_pointer(rule.get<std::string>().substr(1))), value, at);
      else if (keyword == "type")
        type(rule, value, at);
      else if (keyword == "const")
        expect(value == rule, at + ": is not " + rule.dump());
      else if (keyword == "enum")
        expect(std::find(rule.begin(), rule.end(), value) != rule.end(), at + ": " + value.dump() + " is none of " + rule.dump());
      else if (keyword == "minimum")
        expect(!value.is_number() || value >= rule, at + ": below " + rule.dump());
      else if (keyword == "maximum")
        expect(!value.is_number() || value <= rule, at + ": above " + rule.dump());
      else if (keyword == "minLength")
        expect(!value.is_string() || value.get<std::string>().size() >= rule.get<std::size_t>(), at + ": too short");
      else if (keyword == "pattern")
        expect(!value.is_string() || std::regex_search(value.get<std::string>(), std::regex(rule.get<std::string>())),
               at + ": does not match");
      else if (keyword == "required")
        required(rule, value, at);
      else if (keyword == "properties" || keyword == "additionalProperties")
        continue;  // below, together
      else if (keyword == "items")
        items(rule, value, at);
      else if (keyword == "minItems")
        expect(!value.is_array() || value.size() >= rule.get<std::size_t>(), at + ": too few");
      else if (keyword == "maxItems")
        expect(!value.is_array() || value.size() <= rule.get<std::size_t>(), at + ": too many");
      else
        expect(false, quoting(at, keyword) + " is used by the schema and unknown to this check");
    }
    if (value.is_object()) members(schema, value, at);
  }

 private:
  static std::string inside(const std::string& at, const std::string& key) { return at + "." + key; }
  static std::string quoting(const std::string& at, const std::string& key) { return at + ": '" + key + "'"; }
  void expect(bool holds, const std::string& otherwise) {
    if (!holds) errors += otherwise + "\n";
  }
  static bool is(const std::string& type, const Json& value) {
    if (type == "null") return value.is_null();
    if (type == "boolean") return value.is_boolean();
    if (type == "integer") return value.is_number_integer();
    if (type == "number") return value.is_number();
    if (type == "string") return value.is_string();
    if (type == "array") return value.is_array();
    return type == "object" && value.is_object();
  }
  void type(const Json& rule, const Json& value, const std::string& at) {
    bool fits = false;
    for (const Json& one : rule.is_array() ? rule : Json::array({rule})) fits = fits || is(one.get<std::string>(), value);
    expect(fits, at + ": " + value.type_name() + ", not " + rule.dump());
  }
  void required(const Json& rule, const Json& value, const std::string& at) {
    for (const Json& key : rule)
      expect(!value.is_object() || value.contains(key.get<std::string>()), at + ": '" + key.get<std::string>() + "' is missing");
  }
  void items(const Json& rule, const Json& value, const std::string& at) {
    if (!value.is_array()) return;
    for (std::size_t i = 0; i < value.size(); ++i) check(rule, value[i], at + "[" + std::to_string(i) + "]");
  }
  void members(const Json& schema, const Json& value, const std::string& at) {
    const Json properties = schema.value("properties", Json::object());
    const Json others = schema.value("additionalProperties", Json(true));
    for (const auto& [key, member] : value.items()) {
      if (properties.contains(key))
        check(properties.at(key), member, inside(at, key));
      else if (others.is_object())
        check(others, member, inside(at, key));
      else
        expect(others.get<bool>(), quoting(at, key) + " is not in the schema");
    }
  }

  const Json& root_;
};

}  // namespace

const std::filesystem::path& folder() {
  static const Folder one;
  return one.path;
}

namespace {

std::string command_of(const std::string& arguments, const std::string& before) {
  return "cd '" + folder().string() + "' && XDG_CACHE_HOME='" + (folder() / "cache").string() + "' " + before + " '" +
         EAQ_PROGRAM + "' " + arguments + " </dev/null";
}

int code_of(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

}  // namespace

Outcome run(const std::string& arguments, const std::string& before, const std::string& after) {
  const std::filesystem::path out = folder() / "stdout", err = folder() / "stderr";
  const std::string command = command_of(arguments, before) + " >'" + out.string() + "' 2>'" + err.string() + "' " + after;
  const int status = std::system(command.c_str());
  return {code_of(status), read_text(out), read_text(err)};
}

Outcome run_on_terminal(const std::string& arguments, const std::string& before) {
  const std::string command = command_of(arguments, "TERM=xterm " + before) + " 2>/dev/null";
  winsize size{24, 100, 0, 0};
  int terminal = -1;
  const pid_t child = ::forkpty(&terminal, nullptr, nullptr, &size);
  if (child < 0) throw Error(ErrorKind::bug, "no terminal can be opened here");
  if (child == 0) {
    ::execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
    ::_exit(127);
  }
  Outcome outcome;
  char buffer[4096];
  for (ssize_t got = 0; (got = ::read(terminal, buffer, sizeof buffer)) > 0;)  // it ends in EIO
    outcome.out.append(buffer, static_cast<std::size_t>(got));
  int status = 0;
  ::waitpid(child, &status, 0);
  ::close(terminal);
  outcome.code = code_of(status);
  return outcome;
}

std::string schema_errors(const std::string& schema, const std::string& json) {
  const Json rules = parse_json(schema, "schema"), value = parse_json(json, "value");
  Checker checker(rules);
  checker.check(rules, value, "$");
  return checker.errors;
}

namespace {

TEST(SchemaCheck, NoticesWhatIsWrong) {
  const std::string schema = R"({"type": "object", "required": ["a"], "additionalProperties": false,
    "properties": {"a": {"type": ["integer", "null"], "minimum": 1}, "b": {"items": {"enum": ["x"]}}}})";
  EXPECT_EQ(schema_errors(schema, R"({"a": 1, "b": ["x"]})"), "");
  EXPECT_EQ(schema_errors(schema, R"({"a": null})"), "");
  EXPECT_EQ(schema_errors(schema, "{}"), "$: 'a' is missing\n");
  EXPECT_EQ(schema_errors(schema, R"({"a": 0})"), "$.a: below 1\n");
  EXPECT_EQ(schema_errors(schema, R"({"a": 1.5})"), "$.a: number, not [\"integer\",\"null\"]\n");
  EXPECT_EQ(schema_errors(schema, R"({"a": 1, "b": ["y"]})"), "$.b[0]: \"y\" is none of [\"x\"]\n");
  EXPECT_EQ(schema_errors(schema, R"({"a": 1, "c": 1})"), "$: 'c' is not in the schema\n");
  EXPECT_NE(schema_errors(R"({"multipleOf": 2})", "1"), "");
}

}  // namespace
}  // namespace eaq::program

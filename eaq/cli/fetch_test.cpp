// `eaq fetch` and `hf:` names through the built program, on a hub of the test's own.
#include "eaq/base/json.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "eaq/base/base.h"
#include "eaq/cli/program.h"

namespace eaq {
namespace {

namespace fs = std::filesystem;
using program::Outcome;

const std::string server = EAQ_SOURCE_DIR "/eaq/hub/testing/hub_server.py";

// The repositories of the tests' hub: the embedded models, and what a hub may hold that eaq cannot use.
const fs::path& repositories() {
  static const fs::path root = [] {
    fs::path folder = program::folder() / "hub";
    for (const char* model : {"tiny-gpt2", "tiny-distilbert"}) {
      const fs::path to = folder / "me" / model;
      fs::create_directories(to);
      for (const auto& entry : fs::directory_iterator(fs::path(EAQ_SOURCE_DIR) / "models" / model))
        if (entry.is_regular_file()) fs::copy_file(entry, to / entry.path().filename());
    }
    for (const char* name : {"llama", "pickle", "data"}) fs::create_directories(folder / "me" / name);
    write_text(folder / "me" / "llama" / "config.json", R"({"model_type": "mamba"})");
    write_text(folder / "me" / "llama" / "model.safetensors", "0123456789");
    write_text(folder / "me" / "pickle" / "config.json", R"({"model_type": "gpt2"})");
    write_text(folder / "me" / "pickle" / "pytorch_model.bin", "a pickle");
    write_text(folder / "me" / "data" / "train.csv", "text");
    return folder;
  }();
  return root;
}

// The program beside a hub with these faults; the cache is `cache`.
Outcome with_hub(const std::string& arguments, const std::string& cache, const std::string& faults = "",
                 const std::string& variables = "") {
  std::string options;
  if (!faults.empty()) options = " --fault " + faults;
  return program::run(arguments, "HF_HUB_CACHE='" + (program::folder() / cache).string() + "' " + variables + " python3 '" +
                                     server + "' '" + repositories().string() + "'" + options + " --run");
}

Outcome without_hub(const std::string& arguments, const std::string& cache, const std::string& variables = "") {
  return program::run(arguments,
                      "HF_HUB_CACHE='" + (program::folder() / cache).string() + "' HF_ENDPOINT=http://127.0.0.1:1 " + variables);
}

TEST(Fetch, SaysWhereTheModelLies) {
  const Outcome outcome = with_hub("fetch me/tiny-gpt2", "says");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  const std::string folder = outcome.out.substr(0, outcome.out.find('\n'));
  EXPECT_TRUE(fs::is_regular_file(fs::path(folder) / "model.safetensors")) << outcome.out;
  EXPECT_NE(outcome.err.find("5 files, 2.8 MiB; 5 fetched"), std::string::npos) << outcome.err;
  EXPECT_NE(with_hub("fetch me/tiny-gpt2", "says").err.find("all of them there"), std::string::npos);
  EXPECT_NE(with_hub("fetch me/tiny-gpt2 --offline", "says").err.find("from the cache (the hub was not asked)"),
            std::string::npos);
}

TEST(Fetch, JsonHoldsToItsSchema) {
  Json schema = parse_json(read_text(std::string(EAQ_SOURCE_DIR) + "/docs/outputs.schema.json"), "schema");
  schema["$ref"] = "#/$defs/fetch";
  const Outcome outcome = with_hub("fetch hf:me/tiny-gpt2@v1 --json --quiet", "json");
  EXPECT_EQ(program::schema_errors(schema.dump(), outcome.out), "");
  EXPECT_EQ(outcome.err, "");
  EXPECT_EQ(parse_json(outcome.out, "fetch")["revision"], "v1");
}

TEST(Fetch, IntoAFolderGivesAModelThatRunsFromThere) {
  EXPECT_EQ(with_hub("fetch me/tiny-distilbert -o got", "folder").code, 0);
  EXPECT_EQ(program::run("inspect ./got").code, 0);
  EXPECT_FALSE(fs::exists(program::folder() / "folder"));
}

TEST(Fetch, ModelsOfTheHubRunInEveryCommand) {
  const std::string limits = " --limit 2 --quiet";
  const Outcome study = with_hub(
      "study hf:me/tiny-gpt2 hf:me/tiny-distilbert@v1 --formats fp32 --blocks 2 --min-seconds 0.01 --meter none --json --out "
      "hub-study" +
          limits,
      "run");
  ASSERT_EQ(study.code, 0) << study.err;
  const Json result = parse_json(study.out, "study");
  EXPECT_EQ(result["runs"][0]["model"], "me/tiny-gpt2");
  const auto source = result["manifest"]["models"][0]["source"].get<std::string>();
  EXPECT_TRUE(source.starts_with("hf:me/tiny-gpt2@")) << source;
  EXPECT_EQ(source.size(), std::string("hf:me/tiny-gpt2@").size() + 40);
  // The rest finds it in the cache: no hub is needed any more, but its absence is told.
  for (const char* command : {"inspect hf:me/tiny-gpt2", "tokenize hf:me/tiny-gpt2 joule",
                              "generate hf:me/tiny-gpt2 The --max-new-tokens 2", "evaluate hf:me/tiny-gpt2 --limit 1"}) {
    const Outcome cached = without_hub(command, "run");
    EXPECT_EQ(cached.code, 0) << command << cached.err;
    EXPECT_NE(cached.err.find("is taken from the cache"), std::string::npos) << cached.err;
    const Outcome offline = without_hub(std::string(command) + " --offline", "run");
    EXPECT_EQ(offline.code, 0) << command << offline.err;
    EXPECT_EQ(offline.err.find("warning"), std::string::npos) << offline.err;
  }
  EXPECT_EQ(without_hub("inspect hf:me/tiny-gpt2", "run", "HF_HUB_OFFLINE=1").code, 0);
}

struct FetchFault {
  std::string name, arguments, faults, variables;
  int code;
  std::string says;
};

TEST(Fetch, EveryFaultIsAClearErrorWithItsCodeAndLeavesNothing) {
  const std::vector<FetchFault> all{
      {"missing", "fetch me/nothing", "", "", 3, "has no such repository, or it is private"},
      {"revision", "fetch me/tiny-gpt2 --revision v9", "", "", 3, "has no revision 'v9'"},
      {"gated", "fetch me/tiny-gpt2", "gated=1", "", 4, "accept what it asks for, then give your token in HF_TOKEN"},
      {"private", "fetch me/tiny-gpt2", "private=1", "", 3, "give a token that may read it in HF_TOKEN"},
      {"token", "fetch me/tiny-gpt2", "", "HF_TOKEN=hf_wrong", 4, "does not accept the token"},
      {"pickle", "fetch me/pickle", "", "", 3, "only a pickle (pytorch_model.bin)"},
      {"no-model", "fetch me/data", "", "", 3, "has no config.json"},
      {"architecture", "fetch me/llama", "", "", 3, "model_type 'mamba' is not supported (there are: distilbert, gpt2)"},
      {"hash", "fetch me/tiny-gpt2", "damage=model.safetensors", "", 3, "was changed or damaged on the way"},
      {"longer", "fetch me/tiny-gpt2", "longer=model.safetensors", "", 3, "sends more than the"},
      {"shorter", "fetch me/tiny-gpt2", "shorter=model.safetensors", "", 3, "sends fewer than the"},
      {"escape", "fetch me/tiny-gpt2", "escape=../../x", "", 3, "leads out of the repository; nothing is fetched"},
      {"name", "fetch ../../etc", "", "", 2, "names no repository"},
      {"two", "fetch me/tiny-gpt2@v1 --revision v2", "", "", 2, "two revisions"},
  };
  for (const FetchFault& fault : all) {
    SCOPED_TRACE(fault.name);
    const Outcome outcome = with_hub(fault.arguments, "fault-" + fault.name, fault.faults, fault.variables);
    EXPECT_EQ(outcome.code, fault.code) << outcome.err;
    EXPECT_NE(outcome.err.find(fault.says), std::string::npos) << outcome.err;
    std::error_code error;
    for (const auto& entry : fs::recursive_directory_iterator(program::folder() / ("fault-" + fault.name), error))
      EXPECT_FALSE(entry.path().extension() == ".incomplete" || entry.path().parent_path().filename() == "refs" ||
                   entry.is_symlink())
          << entry.path();
  }
}

TEST(Fetch, AFullDiskIsNamedAndLeavesNothing) {
  // A limit on a file's size stands for a disk that is full in the middle of one.
  const Outcome outcome = program::run(
      "fetch me/tiny-gpt2", "HF_HUB_CACHE='" + (program::folder() / "full").string() + "' python3 '" + server + "' '" +
                                repositories().string() + "' --run bash -c 'trap \"\" XFSZ; ulimit -f 512; \"$0\" \"$@\"'");
  EXPECT_EQ(outcome.code, 3) << outcome.err;
  EXPECT_NE(outcome.err.find("cannot write"), std::string::npos) << outcome.err;
  for (const auto& entry : fs::recursive_directory_iterator(program::folder() / "full"))
    EXPECT_FALSE(entry.path().extension() == ".incomplete" || entry.is_symlink()) << entry.path();
}

TEST(Fetch, WithoutHubAndCacheSaysSo) {
  const Outcome offline = without_hub("study hf:me/tiny-gpt2 --offline", "empty");
  EXPECT_EQ(offline.code, 4);
  EXPECT_NE(offline.err.find("is not in the cache"), std::string::npos) << offline.err;
  const Outcome endpoint = program::run("fetch me/x", "HF_ENDPOINT=ftp://hub");
  EXPECT_EQ(endpoint.code, 2);
  EXPECT_NE(endpoint.err.find("HF_ENDPOINT: 'ftp://hub' is no http(s) address"), std::string::npos) << endpoint.err;
}

TEST(Fetch, InterruptedItKeepsWhatCameAndGoesOnFromThere) {
  const std::string hub = "HF_HUB_CACHE='" + (program::folder() / "interrupted").string() + "' ";
  const Outcome first = program::run(
      "fetch me/tiny-gpt2", hub + "python3 '" + server + "' '" + repositories().string() + "' --fault interrupt=1 --run");
  EXPECT_EQ(first.code, 130) << first.err;
  EXPECT_NE(first.err.find("interrupted while fetching"), std::string::npos) << first.err;
  bool kept = false;
  for (const auto& entry : fs::recursive_directory_iterator(program::folder() / "interrupted"))
    kept |= entry.path().extension() == ".incomplete";
  EXPECT_TRUE(kept);
  const std::string log = (program::folder() / "resumed.log").string();
  const Outcome second = program::run(
      "fetch me/tiny-gpt2", hub + "python3 '" + server + "' '" + repositories().string() + "' --log '" + log + "' --run");
  EXPECT_EQ(second.code, 0) << second.err;
  EXPECT_NE(read_text(log).find("\"range\": \"bytes="), std::string::npos);
}

TEST(Fetch, TheCacheAndThatOfHuggingfaceHubAreOne) {
  const char* chosen = std::getenv("EAQ_PYTHON");
  const std::string python = chosen != nullptr ? chosen : "python3";
  if (std::system((python + " -c 'import huggingface_hub' >/dev/null 2>&1").c_str()) != 0)
    GTEST_SKIP() << python << " has no huggingface_hub (EAQ_PYTHON names another Python; eaq/hub/testing/requirements.txt)";
  const std::string log = (program::folder() / "python.log").string();
  const std::string command =
      "HF_HUB_DISABLE_TELEMETRY=1 HF_HUB_DISABLE_PROGRESS_BARS=1 HF_HOME='" + (program::folder() / "python-home").string() +
      "' python3 '" + server + "' '" + repositories().string() + "' --log '" + log + "' --run " + python +
      " '" EAQ_SOURCE_DIR "/eaq/hub/testing/against_python.py' '" EAQ_PROGRAM "' me/tiny-distilbert '" + log + "'";
  EXPECT_EQ(std::system(command.c_str()), 0);
}

}  // namespace
}  // namespace eaq

// Every command through the built program: what it prints, and the exit codes of what goes wrong.
#include "eaq/base/json.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "eaq/backend/backend.h"
#include "eaq/base/base.h"
#include "eaq/cli/program.h"
#include "eaq/container/container.h"

namespace eaq {
namespace {

using program::Outcome;
using program::run;

Json json_of(const Outcome& outcome) { return parse_json(outcome.out, "standard output"); }

// One line that names the program, and nothing on standard output.
void expect_error(const Outcome& outcome, int code, const std::string& says) {
  EXPECT_EQ(outcome.code, code) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_NE(outcome.err.find("eaq: "), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find(says), std::string::npos) << outcome.err;
  EXPECT_TRUE(is_utf8(outcome.err));
}

TEST(Program, HelpOfEveryCommandHasAnExample) {
  const Outcome help = run("--help");
  EXPECT_EQ(help.code, 0);
  for (const char* command :
       {"study", "evaluate", "logits", "tokenize", "generate", "inspect", "measure", "compare", "fetch", "meter", "doctor"}) {
    EXPECT_NE(help.out.find(std::string("\n  ") + command), std::string::npos) << command;
    const Outcome one = run(std::string(command) + " --help");
    EXPECT_EQ(one.code, 0);
    EXPECT_NE(one.out.find("Example:\n  eaq " + std::string(command)), std::string::npos) << one.out;
    EXPECT_NE(one.out.find("--json"), std::string::npos);
    EXPECT_NE(one.out.find("--quiet"), std::string::npos);
  }
  EXPECT_EQ(run("--version").out.substr(0, 4), "eaq ");
}

TEST(Program, ACommandThatIsNoneIsAUsageErrorThatListsThem) {
  expect_error(run("frobnicate tiny-gpt2"), 2, "'frobnicate' is no command; there are: study, profile, evaluate");
  EXPECT_EQ(run("").code, 2);
  expect_error(run("study --frobnicate"), 2, "--frobnicate");
}

TEST(Program, BadInputOfEveryCommandIsThreeAndBadUsageTwo) {
  for (const char* command : {"study", "evaluate", "inspect"})
    expect_error(run(std::string(command) + " ./nowhere"), 3, "./nowhere");
  expect_error(run("generate ./nowhere x"), 3, "./nowhere");
  expect_error(run("tokenize ./nowhere x"), 3, "./nowhere");
  expect_error(run("logits ./nowhere --ids a -o b"), 3, "./nowhere");
  expect_error(run("evaluate tiny-gpt2 --format fp3"), 2, "fp3");
  expect_error(run("study tiny-gpt2 --formats fp32,fp3"), 2, "fp3");
  expect_error(run("study tiny-gpt2 --formats fp32,fp32"), 2, "twice");
  expect_error(run("study tiny-gpt2 --seq 100000"), 2, "context of 256");
  expect_error(run("study tiny-gpt2 --seq 8,8"), 2, "--seq names the same twice");
  expect_error(run("study tiny-gpt2 --batch 1,2,1"), 2, "--batch names the same twice");
  expect_error(run("study tiny-gpt2 --phase decode,decode"), 2, "--phase names the same twice");
  expect_error(run("study tiny-distilbert --seq 8 --unpadded"), 2, "one of the two");
  expect_error(run("study tiny-gpt2 --unpadded"), 2, "--unpadded is for sentences");
  expect_error(run("evaluate tiny-gpt2 --data /dev/zero"), 3, "/dev/zero: not a regular file");
  expect_error(run("evaluate tiny-distilbert --data /dev/zero"), 3, "/dev/zero: not a regular file");
  expect_error(run("study tiny-distilbert --phase decode"), 2, "classifier");
  expect_error(run("study tiny-gpt2 --method mean-power"), 2, "--protocol original");
  expect_error(run("study tiny-gpt2 --batch 0"), 2, "--batch");
  expect_error(run("study tiny-gpt2 --meter nothing"), 2, "nothing");
  expect_error(run("study tiny-gpt2 --meter replay:/nowhere"), 3, "/nowhere");
  expect_error(run("evaluate tiny-gpt2 --task sst2"), 2, "sst2");
  expect_error(run("evaluate tiny-gpt2 --recipe /nowhere"), 3, "/nowhere");
  expect_error(run("evaluate tiny-gpt2 --data /nowhere"), 3, "/nowhere");
  expect_error(run("tokenize tiny-gpt2"), 2, "TEXT");
  expect_error(run("tokenize tiny-gpt2 --decode '1 2 x'"), 3, "'x' is no token id");
  expect_error(run("tokenize tiny-gpt2 --decode 4096"), 3, "0 to 4095");
  expect_error(run("generate tiny-distilbert x"), 3, "language model");
  expect_error(run("generate tiny-gpt2 x --max-new-tokens 256"), 3, "context");
}

TEST(Program, WhatThisBuildLacksIsFour) {
  if (find_entry(backends(), "cuda") == nullptr) {
    expect_error(run("evaluate tiny-gpt2 --device cuda"), 4, "--device cuda is not available: ");
    expect_error(run("study --device cuda:1"), 4, "--device cuda:1 is not available: ");
  }
  // Where there is a card, it can be hidden. The reason is told once, and what is missing is not among what is here.
  if (find_entry(backends(), "cuda") != nullptr) {
    const auto hidden = run("study tiny-gpt2 --device cuda", "CUDA_VISIBLE_DEVICES=");
    expect_error(hidden, 4, "--device cuda is not available: ");
    EXPECT_EQ(hidden.err.find("not available", hidden.err.find("not available") + 1), std::string::npos) << hidden.err;
    EXPECT_NE(hidden.err.find("devices here: cpu"), std::string::npos) << hidden.err;
    EXPECT_EQ(hidden.err.find("cuda", hidden.err.find("devices here")), std::string::npos) << hidden.err;
    expect_error(run("meter --calibrate --device cuda", "CUDA_VISIBLE_DEVICES="), 4, "--device cuda is not available: ");
  }
  if (const Backend* cuda = find_entry(backends(), "cuda"); cuda != nullptr && cuda->unavailable_reason().empty()) {
    const std::string evaluate = "evaluate tiny-gpt2 --device cuda --limit 1 --format ";
    expect_error(run(evaluate + "bf16", "EAQ_CUDA_ARCHITECTURE=75"), 4, "begin with sm_80; this card is sm_75");
    expect_error(run(evaluate + "fp16", "EAQ_CUDA_ARCHITECTURE=999"), 2, "EAQ_CUDA_ARCHITECTURE=999: this card");
    expect_error(run(evaluate + "fp16", "EAQ_CUDA_ARCHITECTURE=sm_75"), 2, "EAQ_CUDA_ARCHITECTURE=sm_75");
    EXPECT_EQ(run(evaluate + "fp16", "EAQ_CUDA_ARCHITECTURE=75").code, 0);
  }
  expect_error(run("study --device cuda:x"), 2, "--device cuda:x: after the colon");
  expect_error(run("study tiny-gpt2 --device cpu:1"), 2, "--device cpu:1");
  expect_error(run("evaluate tiny-gpt2 --device gpu"), 2, "'gpu'");
  expect_error(run("study --meter rapl", "EAQ_SYSFS_ROOT=/nowhere"), 4, "powercap");
  for (const char* command : {"study", "evaluate", "inspect", "generate -- ", "tokenize -- "}) {
    const std::string text = std::string(command).ends_with(" ") ? " x" : "";
    expect_error(run(command + (" hf:openai-community/gpt2" + text), "HF_HUB_OFFLINE=1 HF_HUB_CACHE=/nowhere"), 4,
                 "is not in the cache");
  }
}

TEST(Program, ABatchThatNoMemoryHoldsIsRefusedBeforeItIsTaken) {
  expect_error(run("study tiny-gpt2 --formats fp32 --phase forward --batch 1048576 --out huge --quiet"), 4,
               "GiB are available here");
  expect_error(run("study tiny-gpt2 --formats fp32 --phase decode --batch 1048576 --out huge --quiet"), 4,
               "GiB are available here");
  EXPECT_FALSE(std::filesystem::exists(program::folder() / "huge"));
}

TEST(Program, StandardOutputThatFailsIsSaid) {
  expect_error(run("doctor", "", ">/dev/full"), 3, "standard output");
  EXPECT_EQ(run("doctor", "", ">&-").code, 3);
  const Outcome closed = run("doctor | true", "", "");
  EXPECT_EQ(closed.code, 0);
  EXPECT_EQ(closed.err, "");
}

TEST(Tokenize, GivesIdsAndTakesThemBack) {
  const Outcome ids = run("tokenize tiny-gpt2 'The joule is a unit.'");
  EXPECT_EQ(ids.code, 0);
  const Outcome back = run("tokenize tiny-gpt2 --decode '" + ids.out.substr(0, ids.out.size() - 1) + "'");
  EXPECT_EQ(back.out, "The joule is a unit.\n");
  const Json json = json_of(run("tokenize tiny-gpt2 --json 'The joule is a unit.'"));
  ASSERT_EQ(json.at("ids").size(), 1u);
  std::string line;
  for (const auto& id : json["ids"][0]) line += (line.empty() ? "" : " ") + std::to_string(id.get<int>());
  EXPECT_EQ(line + "\n", ids.out);
  EXPECT_EQ(json_of(run("tokenize tiny-gpt2 --json --decode '" + line + "'")).at("text")[0], "The joule is a unit.");
}

TEST(Tokenize, AFileIsOneTextALine) {
  write_text(program::folder() / "lines.txt", "one two\nthree\n");
  const Json json = json_of(run("tokenize tiny-distilbert --file lines.txt --special-tokens --json"));
  ASSERT_EQ(json.at("ids").size(), 2u);
  const Json bare = json_of(run("tokenize tiny-distilbert --file lines.txt --json"));
  EXPECT_EQ(json["ids"][0].size(), bare["ids"][0].size() + 2);  // [CLS] ... [SEP]
}

TEST(Tokenize, AFileFromWindowsHasTheSameTexts) {
  write_text(program::folder() / "unix.txt", "one two\nthree\n");
  write_text(program::folder() / "windows.txt", "one two\r\nthree\r\n");
  EXPECT_EQ(run("tokenize tiny-gpt2 --file windows.txt").out, run("tokenize tiny-gpt2 --file unix.txt").out);
}

TEST(Program, NumbersThatAreNoneAreRefusedByName) {
  for (const char* value : {"nan", "-nan", "inf", "-inf", "1e999", "x"}) {
    for (const char* option : {"--temperature", "--top-p", "--assume-watts"})
      expect_error(run("generate tiny-gpt2 x " + (option + ("=" + std::string(value)))), 2, option);
    for (const char* option : {"--min-seconds", "--assume-watts", "--seed", "--blocks"})
      expect_error(run("study tiny-gpt2 " + (option + ("=" + std::string(value)))), 2, option);
  }
  expect_error(run("study --seed=-1"), 2, "--seed");
  expect_error(run("generate tiny-gpt2 x --seed=-1"), 2, "--seed");
  expect_error(run("study --seed=18446744073709551616"), 2, "--seed");
  expect_error(run("study --assume-watts=0"), 2, "--assume-watts");
  expect_error(run("study --threads 1025"), 2, "--threads");
}

TEST(Program, ErrorsOfOptionsSpeakInWords) {
  for (const char* wrong : {"study --blocks 1", "study --blocks", "study --phase x", "study --protocol x", "study --method x",
                            "evaluate tiny-gpt2 --join x", "evaluate tiny-gpt2 --task x", "study --batch 0",
                            "study --min-seconds", "study --seed", "evaluate tiny-gpt2 --limit x"}) {
    const Outcome outcome = run(wrong);
    EXPECT_EQ(outcome.code, 2) << wrong;
    for (const char* internal : {"INT", "FLOAT", "UINT", "->", "{", "Value ", "Check "})
      EXPECT_EQ(outcome.err.find(internal), std::string::npos) << outcome.err;
  }
}

TEST(Inspect, ShapesAndBytesAddUpToTheModel) {
  const Json json = json_of(run("inspect tiny-gpt2 --json"));
  EXPECT_EQ(json.at("model"), "tiny-gpt2");
  EXPECT_EQ(json.at("parameters"), 1350400);
  std::int64_t weights = 0;
  for (const Json& site : json.at("sites")) {
    const std::int64_t size = site.at("shape")[0].get<std::int64_t>() * site.at("shape")[1].get<std::int64_t>();
    EXPECT_EQ(site.at("bytes").at("fp32"), site.contains("tied_to") ? 0 : size * 4);
    EXPECT_EQ(site.at("non_finite"), 0);
    if (site.at("kind") != "embedding") {
      EXPECT_EQ(site.at("flops_per_token"), 2.0 * static_cast<double>(size));
    }
    if (!site.contains("tied_to")) weights += size;
  }
  EXPECT_LT(weights, 1350400);  // biases and norms are the rest
  EXPECT_GT(weights, 1330000);
  // In every format the sites, biases and norms are the whole, and the whole is what a study says.
  for (const auto& [format, whole] : json.at("bytes").items()) {
    const std::int64_t rest = json.at("bias_and_norm_bytes").at(format).get<std::int64_t>();
    std::int64_t sum = rest;
    for (const Json& site : json.at("sites")) sum += site.at("bytes").at(format).get<std::int64_t>();
    EXPECT_EQ(sum, whole.get<std::int64_t>()) << format;
    const std::int64_t others = 1350400 - weights;
    EXPECT_EQ(rest, others * (format == "bf16" || format == "fp16" ? 2 : 4)) << format;
  }
  EXPECT_EQ(json_of(run("evaluate tiny-gpt2 --format int8 --limit 1 --json")).at("size_bytes"), json["bytes"]["int8"]);
  EXPECT_NE(run("inspect tiny-gpt2").out.find("shares the weights of transformer.wte"), std::string::npos);
}

TEST(Inspect, RandomWeightsHaveTheTrueShapes) {
  const Json json = json_of(run("inspect 'synthetic:gpt2?layers=1' --json"));
  EXPECT_EQ(json.at("model"), "synthetic:gpt2?layers=1");
  EXPECT_EQ(json.at("parameters"), 50257 * 768 + 1024 * 768 + 7087872 + 2 * 768);
  EXPECT_NE(run("inspect 'synthetic:distilbert?layers=1'").out.find("random"), std::string::npos);
}

TEST(Program, WhatRandomWeightsCannotDoIsBadInput) {
  for (const char* command : {"tokenize synthetic:gpt2 x", "generate synthetic:gpt2 x", "evaluate synthetic:gpt2"})
    expect_error(run(command), 3, "random");
  expect_error(run("inspect synthetic:gpt3"), 3, "distilbert, gpt2");
  expect_error(run("study synthetic:distilbert --unpadded"), 2, "--unpadded");
}

// A copy of tiny-gpt2, ./broken-gpt2, with a NaN in the first element of a row of a tensor.
void break_gpt2(const std::string& tensor, std::int64_t row) {
  const auto broken = program::folder() / "broken-gpt2";
  std::filesystem::remove_all(broken);
  std::filesystem::copy(EAQ_SOURCE_DIR "/models/tiny-gpt2", broken, std::filesystem::copy_options::recursive);
  const auto file = broken / "model.safetensors";
  std::string bytes = read_text(file);
  std::size_t begin = 0;
  {
    const auto checkpoint = open_checkpoint(broken);
    const std::string prefixed = "transformer." + tensor;
    const TensorView view = checkpoint->tensor(checkpoint->contains(prefixed) ? prefixed : tensor);
    const std::string values(reinterpret_cast<const char*>(view.bytes().data()), view.bytes().size());
    begin = bytes.find(values);
    ASSERT_NE(begin, std::string::npos);
    begin += static_cast<std::size_t>(row) * values.size() / static_cast<std::size_t>(view.shape.front());
  }
  bytes[begin] = bytes[begin + 1] = bytes[begin + 2] = bytes[begin + 3] = '\xff';  // NaN in f32, bf16 and f16
  std::filesystem::permissions(file, std::filesystem::perms::owner_write, std::filesystem::perm_options::add);
  write_text(file, bytes);
}

TEST(Generate, LogitsThatAreNoNumbersAreAnErrorWithTheirPosition) {
  break_gpt2("ln_f.weight", 0);
  expect_error(run("generate ./broken-gpt2 'The history of' --max-new-tokens 4"), 3, "logits are not finite at position ");
  EXPECT_NE(run("inspect ./broken-gpt2").out.find("Every tensor"), std::string::npos);
}

// Where a device chooses tokens by itself, too.
TEST(Generate, ATokenThatIsChosenOnTheDeviceNamesItsPosition) {
  break_gpt2("wpe.weight", 12);
  for (const std::string device : {"cpu", "cuda"}) {
    const Backend* backend = find_entry(backends(), device);
    if (backend == nullptr || !backend->unavailable_reason().empty()) continue;
    const Outcome outcome = run("generate ./broken-gpt2 'The history of' --max-new-tokens 20 --ignore-end --device " + device);
    EXPECT_EQ(outcome.code, 3) << device;
    EXPECT_NE(outcome.err.find("logits are not finite at position 12: the weights hold NaN"), std::string::npos) << outcome.err;
  }
}

TEST(Doctor, ChecksProcessorDevicesAndEveryMeter) {
  const Json json = json_of(run("doctor --json", "EAQ_SYSFS_ROOT=/nowhere"));
  std::string names;
  for (const Json& check : json.at("checks")) {
    names += check.at("name").get<std::string>() + " ";
    EXPECT_TRUE(check.at("ok").is_boolean());
    EXPECT_NE(check.at("found"), "");
    ASSERT_TRUE(check.at("advice").is_string());
    EXPECT_TRUE(check.at("ok").get<bool>() || check.at("advice") != "") << check.at("name");
  }
  for (const char* name : {"cpu ", "cuda ", "gpu ", "memory ", "rapl ", "synthetic ", "model tiny-gpt2 ", "data sst2 ", "cache "})
    EXPECT_NE(names.find(name), std::string::npos) << name << "in " << names;
}

TEST(Meter, NamesEveryKindAndWhyOthersAreMissing) {
  const Json json = json_of(run("meter --json", "EAQ_SYSFS_ROOT=/nowhere"));
  bool rapl = false;
  for (const Json& meter : json.at("meters")) {
    for (const char* key : {"name", "kind", "available", "zones", "period_ms", "window_ms"})
      EXPECT_TRUE(meter.contains(key)) << key;
    if (meter.at("kind") != "rapl") continue;
    rapl = true;
    EXPECT_FALSE(meter.at("available").get<bool>());
    EXPECT_NE(meter.at("reason"), "");
  }
  EXPECT_TRUE(rapl);
}

TEST(Meter, CalibratesASensorAndThenShowsWhatItFound) {
  write_text(
      program::folder() / "sensor.json",
      R"({"schema":"eaq.synthetic/1","idle_W":80,"watts":{"linear":{"bf16":300}},"period_ms":40,"window_ms":10,"seed":1})");
  const std::string cache = "XDG_CACHE_HOME='" + (program::folder() / "calibrated").string() + "'";
  EXPECT_TRUE(json_of(run("meter --meter synthetic:sensor.json --json", cache))
                  .at("meters")[0]
                  .at("zones")[0]
                  .at("calibrated")
                  .is_null());
  const Outcome outcome = run("meter --calibrate --meter synthetic:sensor.json --seconds-scale 0.1 --json", cache);
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json found = json_of(outcome).at("calibrations").at(0);
  EXPECT_EQ(found.at("zone"), "synthetic:device");
  EXPECT_EQ(found.at("label"), "synthetic");
  EXPECT_GT(found.at("loaded_W").get<double>(), found.at("idle_W").get<double>());
  EXPECT_EQ(found.at("reference").size(), 1u);
  EXPECT_TRUE(std::filesystem::exists(found.at("file").get<std::string>()));
  Json schema = parse_json(read_text(std::string(EAQ_SOURCE_DIR) + "/docs/outputs.schema.json"), "schema");
  schema["$ref"] = "#/$defs/calibrate";
  EXPECT_EQ(program::schema_errors(schema.dump(), outcome.out), "");
  const Json zone = json_of(run("meter --meter synthetic:sensor.json --json", cache)).at("meters")[0].at("zones")[0];
  EXPECT_EQ(zone.at("calibrated"), found.at("when"));
  const std::string text = run("meter --meter synthetic:sensor.json", cache).out;
  EXPECT_NE(text.find("calibrated on " + found.at("when").get<std::string>().substr(0, 10)), std::string::npos) << text;
}

TEST(Meter, WhatCannotBeCalibratedIsFour) {
  expect_error(run("meter --calibrate", "EAQ_SYSFS_ROOT=/nowhere"), 4, "--assume-watts");
  expect_error(run("meter --calibrate --assume-watts 65"), 4, "does not follow a load");
  expect_error(run("meter --calibrate --meter none"), 4, "none");
  expect_error(run("meter --calibrate --device ref --assume-watts 65"), 4, "ref");
  expect_error(run("meter --seconds-scale 2"), 2, "--calibrate");
}

TEST(Evaluate, PrintsOneRunAsInAStudy) {
  const Json run_json = json_of(run("evaluate tiny-distilbert --format int8 --limit 40 --json"));
  EXPECT_EQ(run_json.at("model"), "tiny-distilbert");
  EXPECT_EQ(run_json.at("task"), "sst2");
  EXPECT_EQ(run_json.at("format"), "int8");
  EXPECT_EQ(run_json.at("quality").at("metric"), "accuracy");
  EXPECT_EQ(run_json.at("quality").at("n"), 40);
  EXPECT_GT(run_json.at("quality").at("kl_mean").get<double>(), 0);
  EXPECT_TRUE(run_json.at("latency_ms").is_null());
  EXPECT_NE(run_json.at("timing_unavailable"), "");
  EXPECT_GT(run_json.at("size_bytes").get<int>(), 0);
}

TEST(Evaluate, ARecipeIsARowOfItsOwnName) {
  write_text(program::folder() / "head.json",
             R"({"schema": "eaq.recipe/1", "default": "fp32", "sites": {"transformer.h.0.mlp.c_fc": "int8"}})");
  const Json json = json_of(run("evaluate tiny-gpt2 --recipe head.json --limit 2 --json"));
  EXPECT_EQ(json.at("format"), "head");
  EXPECT_EQ(json.at("recipe").at("sites").at("transformer.h.0.mlp.c_fc"), "int8");
}

TEST(Generate, ContinuesAPromptAndSaysItsCost) {
  const Outcome text = run("generate tiny-gpt2 'The history of' --max-new-tokens 8 --meter none");
  EXPECT_EQ(text.code, 0) << text.err;
  EXPECT_EQ(text.out.substr(0, 14), "The history of");
  EXPECT_NE(text.err.find("ms per token"), std::string::npos);
  const Json json = json_of(run("generate tiny-gpt2 'The history of' --max-new-tokens 8 --meter none --json"));
  EXPECT_EQ("The history of" + json.at("text").get<std::string>() + "\n", text.out);
  EXPECT_TRUE(json.at("mJ_per_token").is_null());
  EXPECT_NE(json.at("energy_unavailable"), "");
  const Json assumed = json_of(run("generate tiny-gpt2 'The' --max-new-tokens 8 --assume-watts 10 --json"));
  EXPECT_GT(assumed.at("mJ_per_token").get<double>(), 0);
  EXPECT_EQ(assumed.at("label"), "assumed");
}

// --- logits

void write_ids(const std::string& name, const Shape& shape, const std::vector<std::int32_t>& ids,
               const std::vector<std::int64_t>& mask = {}) {
  const Tensor tensor(shape, std::span<const std::int32_t>(ids));
  std::vector<NamedTensor> tensors{{"input_ids", tensor.view()}};
  std::optional<Tensor> masks;
  if (!mask.empty()) tensors.push_back({"attention_mask", masks.emplace(shape, std::span<const std::int64_t>(mask)).view()});
  write_safetensors(program::folder() / name, tensors);
}

TEST(Logits, OfALanguageModelAreThoseOfEveryPosition) {
  write_ids("ids.safetensors", {2, 70}, std::vector<std::int32_t>(140, 11));
  const Outcome outcome = run("logits tiny-gpt2 --ids ids.safetensors -o logits.safetensors --json");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(json_of(outcome).at("shape"), (Json{2, 70, 4096}));
  const auto file = open_checkpoint(program::folder() / "logits.safetensors");
  const TensorView logits = file->tensor("logits");
  EXPECT_EQ(logits.shape, (Shape{2, 70, 4096}));
  const auto values = logits.as<float>();
  // The same tokens give the same logits, and causality makes the second half of the file a copy of the first.
  EXPECT_TRUE(std::equal(values.begin(), values.begin() + 70 * 4096, values.begin() + 70 * 4096));
  EXPECT_NE(values[0], values[69 * 4096]);
}

TEST(Logits, OfRandomWeightsAreTheSameEachTime) {
  write_ids("few.safetensors", {2, 3}, {1, 2, 3, 40, 50, 60});
  const std::string model = "'synthetic:gpt2?layers=1&width=32&heads=2&vocabulary=101&context=41'";
  ASSERT_EQ(run("logits " + model + " --ids few.safetensors -o once.safetensors").code, 0);
  ASSERT_EQ(run("logits " + model + " --ids few.safetensors -o twice.safetensors").code, 0);
  EXPECT_EQ(read_text(program::folder() / "once.safetensors"), read_text(program::folder() / "twice.safetensors"));
  EXPECT_EQ(open_checkpoint(program::folder() / "once.safetensors")->tensor("logits").shape, (Shape{2, 3, 101}));
}

TEST(Logits, PaddingHiddenByTheMaskChangesNothing) {
  write_ids("short.safetensors", {1, 4}, {101, 7, 8, 102});
  write_ids("padded.safetensors", {1, 6}, {101, 7, 8, 102, 0, 0}, {1, 1, 1, 1, 0, 0});
  ASSERT_EQ(run("logits tiny-distilbert --ids short.safetensors -o a.safetensors").code, 0);
  ASSERT_EQ(run("logits tiny-distilbert --ids padded.safetensors -o b.safetensors").code, 0);
  const auto a = open_checkpoint(program::folder() / "a.safetensors"), b = open_checkpoint(program::folder() / "b.safetensors");
  ASSERT_EQ(a->tensor("logits").shape, (Shape{1, 2}));
  for (std::size_t i = 0; i < 2; ++i) EXPECT_NEAR(a->tensor("logits").as<float>()[i], b->tensor("logits").as<float>()[i], 1e-5);
}

TEST(Logits, WrongInputIsNamedAndNothingIsWritten) {
  const auto fails = [](const std::string& ids, const std::string& says) {
    expect_error(run("logits tiny-gpt2 --ids " + ids + " -o never.safetensors"), 3, says);
    EXPECT_FALSE(std::filesystem::exists(program::folder() / "never.safetensors"));
  };
  write_ids("range.safetensors", {1, 3}, {1, 4096, 2});
  fails("range.safetensors", "input_ids[0, 1] is 4096");
  write_ids("flat.safetensors", {3}, {1, 2, 3});
  fails("flat.safetensors", "shape [3]");
  write_ids("long.safetensors", {1, 257}, std::vector<std::int32_t>(257, 1));
  fails("long.safetensors", "context is 256");
  write_ids("mask.safetensors", {1, 2}, {1, 2}, {1, 2});
  fails("mask.safetensors", "holds 2");
  const Tensor floats(Shape{1, 1}, std::span<const float>(std::array<float, 1>{1}));
  const std::vector<NamedTensor> tensors{{"input_ids", floats.view()}};
  write_safetensors(program::folder() / "float.safetensors", tensors);
  fails("float.safetensors", "is F32");
  fails("absent.safetensors", "absent.safetensors");
  write_ids("good.safetensors", {1, 2}, {1, 2});
  expect_error(run("logits tiny-gpt2 --ids good.safetensors -o /nowhere/x.safetensors"), 3, "/nowhere");
}

}  // namespace
}  // namespace eaq

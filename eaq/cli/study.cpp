#include <algorithm>

#include "eaq/cli/cli.h"
#include "eaq/report/report.h"

namespace eaq {
namespace {

void add_protocol_options(CLI::App& app, StudyCommand& command) {
  StudyOptions& options = command.options;
  app.add_option("--protocol", options.original, "blocks: formats interleaved at random; original: one after the other, 5 x 300")
      ->transform(choice_among({{"blocks", 0}, {"original", 1}}))
      ->type_name("blocks|original");
  app.add_option("--method", command.method, "energy by counter, or by mean power x time (protocol original's default)")
      ->check(one_of({"counter", "mean-power"}))
      ->type_name("counter|mean-power");
  app.add_option("--blocks", options.blocks, "each visits every format twice")
      ->check(whole_number(2, 10000))
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--min-seconds", options.min_seconds, "a visit's length (default: by the meter's period; 0.25 without)")
      ->check(number(0.001, 3600))
      ->type_name("S");
  app.add_option("--trials", options.trials, "protocol original")
      ->check(whole_number(2, 10000))
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--iterations", options.iterations, "protocol original: runs of a trial")
      ->check(whole_number(1, std::int64_t{1} << 30))
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--warmup", options.warm_up, "a fixed count of runs (blocks: in place of waiting until times are flat)")
      ->check(whole_number(1, std::int64_t{1} << 30))
      ->each([&options](const std::string&) { options.warm_up_fixed = true; })
      ->type_name("N");
}

void bind(CLI::App& app, StudyCommand& command) {
  StudyOptions& options = command.options;
  app.add_option(
         "MODEL", options.models,
         "folders as Hugging Face writes them, embedded models, models of the hub (hf:openai-community/gpt2), or random weights "
         "(synthetic:gpt2); none: both embedded ones")
      ->type_name("");
  add_offline_option(app);
  app.add_option("--formats", options.formats,
                 "fp32,bf16,... (default: every format that the device computes in; FORMAT+head: embedding and head too)")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("F,...");
  app.add_option("--recipe", options.recipes, "a row of its own: a format for each site (repeatable)")
      ->type_name("FILE")
      ->allow_extra_args(false);
  add_base_option(app, options);
  add_shape_options(app, options);
  add_device_options(app, options);
  add_data_options(app, options);
  add_protocol_options(app, command);
  add_meter_options(app, command.meters);
  app.add_option("--seed", options.seed, "of the order of visits and of the batches")
      ->check(seed_number())
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--out", command.out, "folder of the result (default: study-DATE)")->type_name("DIR");
  app.add_option("--like", command.like, "repeat a result as its manifest says; other options override")->type_name("study.json");
  add_output_options(app, command.output);
}

}  // namespace

void settle(StudyCommand& command) {
  command.options.mean_power = command.options.original;
  if (command.method == "counter") command.options.mean_power = false;
  if (command.method == "mean-power" && !command.options.original)
    throw Error(ErrorKind::usage,
                "--method mean-power needs --protocol original: in a block, an averaging sensor still holds the format before");
}

namespace {

void parse(StudyCommand& command, std::vector<std::string> arguments, const std::string& whose) {
  CLI::App app;
  bind(app, command);
  std::reverse(arguments.begin(), arguments.end());  // as CLI11 takes a vector
  try {
    app.parse(arguments);
  } catch (const CLI::ParseError& error) {
    throw Error(ErrorKind::input, whose + ": its command line is not one of this version: " + printable(error.what()));
  }
}

// What is left of `arguments` without `name` and its value.
std::vector<std::string> without(const std::vector<std::string>& arguments, const std::string& name) {
  std::vector<std::string> rest;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == name)
      ++i;
    else if (!arguments[i].starts_with(name + "="))
      rest.push_back(arguments[i]);
  }
  return rest;
}

std::vector<std::string> after_the_command(const std::vector<std::string>& line) {
  const auto at = std::find(line.begin(), line.end(), "study");
  return at == line.end() ? std::vector<std::string>{} : std::vector<std::string>(at + 1, line.end());
}

// A command with its files named from the root: a result may be repeated from another folder.
std::vector<std::string> from_anywhere(std::vector<std::string> words, const StudyCommand& command) {
  std::vector<std::pair<std::string, std::filesystem::path>> named;  // before the path, and the path
  for (const std::string& model : command.options.models) named.emplace_back("", model);
  for (const auto& recipe : command.options.recipes) named.emplace_back("", recipe);
  named.emplace_back("", command.options.data.file);
  for (const std::string& spec : command.meters.specs)
    if (spec.starts_with("replay:") || spec.starts_with("synthetic:"))
      named.emplace_back(spec.substr(0, spec.find(':') + 1), spec.substr(spec.find(':') + 1));
  for (const auto& [kind, path] : named) {
    std::error_code error;
    const std::string whole = std::filesystem::absolute(path, error).string();
    // An embedded model is no path; and a manifest is UTF-8.
    if (path.empty() || path.is_absolute() || !std::filesystem::exists(path, error) || !is_utf8(whole)) continue;
    const std::string typed = kind + path.string();
    for (std::string& word : words) {
      if (word != typed && !word.ends_with("=" + typed)) continue;
      word.replace(word.size() - typed.size(), typed.size(), kind + whole);
    }
  }
  return words;
}

const std::string next_command = "--then";

}  // namespace

StudyCommand command_of(const Study& result, const std::string& name) {
  StudyCommand command;
  command.options.seed = result.manifest.seed;
  // A result of --like names every command that led to it, each after the one that it changes, parted by "--then".
  std::vector<std::string> one;
  for (const std::string& word : after_the_command(result.manifest.command)) {
    if (word != next_command) {
      one.push_back(word);
      continue;
    }
    parse(command, without(one, "--out"), name);
    one.clear();
  }
  parse(command, without(one, "--out"), name);
  return command;
}

namespace {

// The command of a result, with what was typed beside --like on top of it.
StudyCommand repeated(const Study& earlier, const StudyCommand& typed) {
  const std::string name = printable(typed.like.string());
  StudyCommand command = command_of(earlier, name);
  const std::vector<std::string> now = from_anywhere(without(after_the_command(command_line()), "--like"), typed);
  parse(command, now, name);
  command.options.command = earlier.manifest.command;
  command.options.command.push_back(next_command);
  command.options.command.insert(command.options.command.end(), now.begin(), now.end());
  return command;
}

void warn_of_differences(const Study& earlier, const Study& now) {
  const auto hashes = [](const auto& records) {
    std::vector<std::string> all;
    all.reserve(records.size());
    for (const auto& record : records) all.push_back(record.hash);
    return all;
  };
  if (hashes(earlier.manifest.models) != hashes(now.manifest.models))
    warn("note: the models are not those of the earlier result (their hashes differ)");
  if (hashes(earlier.manifest.data) != hashes(now.manifest.data))
    warn("note: the data is not that of the earlier result (its hash differs)");
  if (earlier.manifest.device.name != now.manifest.device.name)
    warn("note: the earlier result is of another device, " + earlier.manifest.device.name);
}

std::string written_line(const std::filesystem::path& folder, const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
  return "Written: " + printable(folder.string()) + "/{" + list + "}";
}

int run(const StudyCommand& typed) {
  StudyCommand command = typed;
  std::optional<Study> earlier;
  if (!typed.like.empty()) {
    earlier = read_study(typed.like);
    command = repeated(*earlier, typed);
  } else {
    command.options.command = from_anywhere(command_line(), command);
  }
  settle(command);
  fetch_models(command.options.models);
  MeterSet meters = open_chosen_meters(command.meters, card_in_use(command.options));
  const ResultFolder folder(command.out);
  catch_interrupts();
  const StudyOutcome outcome = run_study(command.options, meters);
  if (outcome.study.runs.empty() && outcome.study.interrupted)
    throw Error(ErrorKind::interrupted, "interrupted before anything was measured");
  // Nothing at all could be done as asked: an error, not an empty table.
  if (outcome.study.runs.empty() && !outcome.study.refused.empty())
    throw Error(ErrorKind::unavailable, outcome.study.refused.front().reason);
  const std::vector<std::string> names = folder.write(outcome);
  if (earlier) warn_of_differences(*earlier, outcome.study);
  if (command.output.json) {
    print(to_json(outcome.study));
    note(written_line(folder.path(), names));
  } else {
    print(screen_report(outcome.study) + written_line(folder.path(), names) + "\n" +
          "Page: " + printable((folder.path() / ResultFolder::page_name).string()) + "\n");
  }
  return outcome.study.interrupted ? static_cast<int>(ErrorKind::interrupted) : 0;
}

}  // namespace

void define_study(CLI::App& app, Action& chosen) {
  auto command = std::make_shared<StudyCommand>();
  bind(app, *command);
  app.callback([&chosen, command] { chosen = [command] { return run(*command); }; });
}

}  // namespace eaq

#include <algorithm>
#include <cstdio>

#include "eaq/cli/cli.h"
#include "eaq/measure/measure.h"
#include "eaq/report/report.h"

namespace eaq {
namespace {

struct CompareCommand {
  std::filesystem::path a, b;
  std::optional<double> fail_over;  // per cent
  bool live = false;
  std::optional<std::filesystem::path> out;
  OutputOptions output;
};

// --- what calibrations left in the cache

std::optional<BetweenRuns> of_zone(const std::string& zone) {
  const auto known = load_calibration(calibration_folder(), zone);
  if (!known) return std::nullopt;
  return BetweenRuns{known->between_run_sd, known->between_run_sd_time, known->repeats};
}

// "rapl:package-0+package-1" are two zones: their sum scatters no more than the one that scatters most.
std::optional<BetweenRuns> between_runs(const std::string& id) {
  if (auto whole = of_zone(id)) return whole;
  const auto colon = id.find(':');
  if (colon == std::string::npos || id.find('+') == std::string::npos) return std::nullopt;
  const std::string meter = id.substr(0, colon + 1);
  std::optional<BetweenRuns> all;
  const auto larger = [](std::optional<double>& a, const std::optional<double>& b) {
    a = a && b ? std::max(a, b) : std::nullopt;
  };
  for (std::size_t at = colon + 1; at <= id.size();) {
    const std::size_t end = std::min(id.find('+', at), id.size());
    const std::string part = id.substr(at, end - at);
    at = end + 1;
    const auto one = of_zone(part.find(':') == std::string::npos ? meter + part : part);
    if (!one) return std::nullopt;
    if (!all) {
      all = one;
      continue;
    }
    larger(all->energy_sd, one->energy_sd);
    larger(all->time_sd, one->time_sd);
    all->repeats = std::min(all->repeats, one->repeats);
  }
  return all;
}

// --- both, interleaved now

std::vector<std::string> formats_in(const Study& study) {
  std::vector<std::string> names;
  for (const Run& run : study.runs)
    if (std::find(names.begin(), names.end(), run.format) == names.end()) names.push_back(run.format);
  return names;
}

template <class T>
std::vector<T> both_of(std::vector<T> a, const std::vector<T>& b) {
  for (const T& one : b)
    if (std::find(a.begin(), a.end(), one) == a.end()) a.push_back(one);
  return a;
}

template <class T>
std::vector<T> only_in(const std::vector<T>& a, const std::vector<T>& b) {
  std::vector<T> only;
  for (const T& one : a)
    if (std::find(b.begin(), b.end(), one) == b.end()) only.push_back(one);
  return only;
}

// What the two commands differ in besides formats, recipes and seed; empty where in nothing.
std::string first_difference(const StudyCommand& x, const StudyCommand& y) {
  const StudyOptions &a = x.options, &b = y.options;
  const DataOptions &c = a.data, &d = b.data;
  const std::pair<const char*, bool> same[] = {
      {"models", a.models == b.models},
      {"--device", a.device == b.device},
      {"--threads", a.threads == b.threads},
      {"--base", a.base == b.base},
      {"--batch", a.batch == b.batch},
      {"--seq", a.seq == b.seq},
      {"--unpadded", a.unpadded == b.unpadded},
      {"--phase", a.phases == b.phases},
      {"--task", c.task == d.task},
      {"--data", c.file == d.file},
      {"--join", c.join == d.join},
      {"--window", c.window == d.window},
      {"--stride", c.stride == d.stride},
      {"--limit", c.limit == d.limit},
      {"--blocks", a.blocks == b.blocks},
      {"--min-seconds", a.min_seconds == b.min_seconds},
      {"--meter", x.meters.specs == y.meters.specs},
      {"--assume-watts", x.meters.assume_watts == y.meters.assume_watts},
  };
  for (const auto& [name, is_same] : same)
    if (!is_same) return name;
  return "";
}

// A command that names no format took every one there was: the result knows which.
std::vector<std::string> formats_asked(const StudyCommand& command, const Study& study) {
  if (!command.options.formats.empty()) return command.options.formats;
  return command.options.recipes.empty() ? formats_in(study) : std::vector<std::string>{};
}

[[noreturn]] void impossible(const std::string& why) {
  throw Error(ErrorKind::usage,
              "--live: " + why +
                  ". It interleaves two results that differ in formats or recipes alone, in one program; for the "
                  "rest measure again on one device and compare the files");
}

StudyComparison compare_live(const CompareCommand& command, const Study& a, const Study& b, bool& was_interrupted) {
  StudyCommand first = command_of(a, printable(command.a.string())), second = command_of(b, printable(command.b.string()));
  if (const std::string what = first_difference(first, second); !what.empty()) impossible("the two commands differ in " + what);
  const std::vector<std::string> in_a = formats_in(a), in_b = formats_in(b);
  std::vector<std::string> left = only_in(in_a, in_b), right = only_in(in_b, in_a);
  if (left.empty() && right.empty())
    impossible("both are of the same formats" + (a.manifest.commit == b.manifest.commit
                                                     ? ""
                                                     : ", run by two versions (" + printable(a.manifest.commit) + ", " +
                                                           printable(b.manifest.commit) + "), and this is one"));
  if (left.empty()) left = in_a;
  if (right.empty()) right = in_b;
  StudyCommand joint = first;
  StudyOptions& options = joint.options;
  options.formats = both_of(formats_asked(first, a), formats_asked(second, b));
  options.recipes = both_of(first.options.recipes, second.options.recipes);
  options.original = options.mean_power = false;
  // So that `study --like` repeats it.
  options.command = a.manifest.command;
  options.command.insert(options.command.end(), {"--then", "--protocol", "blocks", "--method", "counter"});
  std::string list;
  for (const std::string& format : options.formats) list += (list.empty() ? "" : ",") + format;
  if (!list.empty()) options.command.insert(options.command.end(), {"--formats", list});
  for (const auto& recipe : options.recipes) options.command.insert(options.command.end(), {"--recipe", recipe.string()});
  MeterSet meters = open_chosen_meters(joint.meters, card_in_use(options));
  std::optional<ResultFolder> folder;
  if (command.out) folder.emplace(command.out);
  catch_interrupts();
  const StudyOutcome outcome = run_study(options, meters);
  was_interrupted = outcome.study.interrupted;
  if (folder && !outcome.study.runs.empty()) folder->write(outcome);
  return compare_formats(outcome.study, left, right);
}

int run(const CompareCommand& command) {
  if (command.out && !command.live) throw Error(ErrorKind::usage, "--out keeps the study that --live runs, and goes with it");
  const Study a = read_study(command.a), b = read_study(command.b);
  bool was_interrupted = false;
  const StudyComparison comparison =
      command.live ? compare_live(command, a, b, was_interrupted) : compare_studies(a, b, between_runs);
  if (command.output.json)
    print(to_json(comparison));
  else
    print(screen_comparison(comparison, command.a.string(), command.b.string()));
  if (was_interrupted) return static_cast<int>(ErrorKind::interrupted);
  if (!command.fail_over) return 0;
  const auto unjudged = std::count_if(comparison.pairs.begin(), comparison.pairs.end(),
                                      [](const ComparedPair& p) { return p.verdict == Verdict::not_comparable; });
  if (unjudged > 0)
    warn("eaq: --fail-over does not judge " + std::to_string(unjudged) + " of " + std::to_string(comparison.pairs.size()) +
         " pairs: they are not comparable");
  const ComparedPair* worst = beyond(comparison, *command.fail_over / 100);
  if (worst == nullptr) return 0;
  char text[64];
  std::snprintf(text, sizeof text, "%.2f %% worse, and the bound is %g %%", 100 * *worst->regression, *command.fail_over);
  throw Error(ErrorKind::bound, printable(worst->model + " " + worst->format + ", " + worst->metric) + ": " + text);
}

}  // namespace

void define_compare(CLI::App& app, Action& chosen) {
  auto command = std::make_shared<CompareCommand>();
  app.add_option("A", command->a, "the study.json that is compared with")->type_name("")->required();
  app.add_option("B", command->b, "the study.json that is judged")->type_name("")->required();
  app.add_option("--fail-over", command->fail_over, "exit code 5 where B is shown to be worse by more than this")
      ->check(number(0, 1e6))
      ->type_name("PERCENT");
  app.add_flag("--live", command->live, "measure both now, interleaved, where they differ in formats or recipes alone");
  app.add_option("--out", command->out, "with --live: folder that keeps the study")->type_name("DIR");
  add_output_options(app, command->output);
  app.callback([&chosen, command] { chosen = [command] { return run(*command); }; });
}

}  // namespace eaq

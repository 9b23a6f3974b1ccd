#include <algorithm>

#include "eaq/cli/cli.h"
#include "eaq/report/report.h"

namespace eaq {
namespace {

struct ProfileCommand {
  std::string model;
  ProfileOptions options{.study = {.blocks = 1}, .ways = {}, .impact = {"fp16", "int8"}};
  std::vector<int> ways;
  bool no_impact = false, resume = false;
  MeterChoice meters;
  std::optional<std::filesystem::path> out;
  OutputOptions output;
};

void bind(CLI::App& app, ProfileCommand& command) {
  StudyOptions& study = command.options.study;
  add_model_argument(app, command.model);
  add_format_option(app, study);
  add_shape_options(app, study, false);
  app.add_option("--ways", command.ways,
                 "how joules are told apart: loops (each step in a loop within the program), in-place (steps doubled at random); "
                 "default: both, without a meter loops")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->transform(choice_among({{"loops", static_cast<int>(Way::loops)}, {"in-place", static_cast<int>(Way::in_place)}}))
      ->type_name("WAY,...");
  app.add_option("--impact", command.options.impact, "formats that each site alone is tried in, against fp32")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->capture_default_str()
      ->type_name("F,...");
  app.add_flag("--no-impact", command.no_impact, "time and joules only: no site is tried in a format, none ablated");
  app.add_flag_callback(
      "--no-ablation", [&command] { command.options.ablations = false; }, "no site or step is taken out to see what it does");
  app.add_flag_callback(
      "--no-fusions", [&command] { command.options.fusions = false; },
      "every step by itself: norms, GELU and residuals have joules of their own, of a program that no study times");
  app.add_option("--blocks", study.blocks, "each visits every variant of the program twice")
      ->check(whole_number(1, 10000))
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--min-seconds", study.min_seconds, "a visit's length (default: by the meter's period; 0.25 without)")
      ->check(number(0.001, 3600))
      ->type_name("S");
  app.add_option("--seed", study.seed, "of the order of visits")->check(seed_number())->type_name("N")->capture_default_str();
  add_device_options(app, study);
  add_data_options(app, study);
  add_meter_options(app, command.meters);
  app.add_option("--out", command.out, "folder of the result (default: profile-DATE)")->type_name("DIR");
  app.add_flag("--resume", command.resume, "go on from what --out already holds: what was found is not done again");
  add_output_options(app, command.output);
}

// One of a kind: a profile is of one program.
void check_one(const StudyOptions& study) {
  if (study.batch.size() > 1 || study.seq.size() > 1 || study.phases.size() > 1)
    throw Error(ErrorKind::usage, "--batch, --seq, --phase: a profile is of one shape; several want a profile each");
}

void settle(ProfileCommand& command, const MeterSet& meters) {
  ProfileOptions& options = command.options;
  check_one(options.study);
  options.study.models = {command.model};
  options.study.command = command_line();
  for (const int way : command.ways) options.ways.push_back(static_cast<Way>(way));
  if (command.ways.empty()) options.ways.push_back(Way::loops);
  if (command.ways.empty() && !meters.empty()) options.ways.push_back(Way::in_place);
  if (command.no_impact) options.impact.clear(), options.ablations = false;
  for (const std::string& format : options.impact) format_named(format);
}

int run(const ProfileCommand& typed) {
  ProfileCommand command = typed;
  if (command.resume && !command.out) throw Error(ErrorKind::usage, "--resume goes on from a folder: name it by --out");
  fetch_model(command.model);
  MeterSet meters = open_chosen_meters(command.meters, card_in_use(command.options.study));
  settle(command, meters);
  const ResultFolder folder(command.out, ResultFolder::Kind::profile, command.resume);
  const auto file = folder.path() / "profile.json";
  std::optional<Profile> earlier;
  if (command.resume && std::filesystem::exists(file)) earlier = read_profile(file);
  if (earlier) command.options.earlier = &*earlier;
  command.options.on_part = [&](const Profile& part) { write_text(file, to_json(part)); };
  command.options.on_weighed = [&](const WeighingRecord& record) { folder.write(record); };
  catch_interrupts();
  const ProfileOutcome outcome = run_profile(command.options, meters);
  std::string list;
  for (const std::string& name : folder.write(outcome)) list += (list.empty() ? "" : ", ") + name;
  const std::string written = "Written: " + printable(folder.path().string()) + "/{" + list + "}";
  if (command.output.json) {
    print(to_json(outcome.profile));
    note(written);
  } else {
    print(screen_profile(outcome.profile) + written + "\n");
  }
  return outcome.profile.interrupted ? static_cast<int>(ErrorKind::interrupted) : 0;
}

}  // namespace

void define_profile(CLI::App& app, Action& chosen) {
  auto command = std::make_shared<ProfileCommand>();
  bind(app, *command);
  app.callback([&chosen, command] { chosen = [command] { return run(*command); }; });
}

}  // namespace eaq

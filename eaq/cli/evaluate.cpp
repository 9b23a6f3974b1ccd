#include "eaq/cli/cli.h"
#include "eaq/report/report.h"

namespace eaq {
namespace {

struct EvaluateCommand {
  std::string model;
  StudyOptions options;
  OutputOptions output;
};

int run(const EvaluateCommand& command) {
  fetch_model(command.model);
  StudyOptions options = command.options;
  options.models = {command.model};
  options.timing = false;
  options.command = command_line();
  if (options.formats.empty() && options.recipes.empty()) options.formats = {"fp32"};
  catch_interrupts();
  MeterSet no_meters;
  const Study study = run_study(options, no_meters).study;
  if (!study.refused.empty()) throw Error(ErrorKind::unavailable, study.refused.front().reason);
  if (study.runs.empty() || !study.runs.front().quality)
    throw Error(ErrorKind::interrupted, "interrupted before anything was evaluated");
  print(command.output.json ? to_json(study.runs.front()) : screen_run(study.runs.front()));
  return study.interrupted ? static_cast<int>(ErrorKind::interrupted) : 0;
}

}  // namespace

void define_evaluate(CLI::App& app, Action& chosen) {
  auto command = std::make_shared<EvaluateCommand>();
  add_model_argument(app, command->model);
  add_format_option(app, command->options);
  add_data_options(app, command->options);
  add_device_options(app, command->options);
  add_output_options(app, command->output);
  app.callback([&chosen, command] { chosen = [command] { return run(*command); }; });
}

}  // namespace eaq

#include "eaq/report/report.h"

#include "eaq/base/json.h"
#include "eaq/cli/cli.h"
#include "eaq/profile/profile.h"

namespace eaq {
namespace {

struct ReportCommand {
  std::vector<std::filesystem::path> results;
  std::filesystem::path out;
  PageOptions options;
  OutputOptions output;
};

// Conclusions follow from the figures: a page never shows one by an older rule than the program's that wrote it.
void judge_anew(PageInput& input) {
  if (auto* profile = std::get_if<Profile>(&input.result))
    conclude(*profile);
  else
    std::get<Study>(input.result).claims = compare_with_original(std::get<Study>(input.result));
}

int run(const ReportCommand& command) {
  std::vector<PageInput> inputs;
  inputs.reserve(command.results.size());
  for (const auto& path : command.results) judge_anew(inputs.emplace_back(read_page_input(path)));
  const std::string text = html_page(inputs, command.options);
  write_text(command.out, text);
  if (text.size() > most_page_bytes)
    note("The page has " + std::to_string(text.size() / 1000) + " kB; below " + std::to_string(most_page_bytes / 1000) +
         " it opens at once on a phone: give it fewer results");
  const std::string why(page_charts_left_out());
  if (!why.empty()) note("The page has tables and no charts: this build has no chart libraries (" + why + ")");
  const std::string page = printable(command.out.string());
  if (command.output.json)
    print(Json{{"page", page}, {"charts", why.empty()}, {"charts_left_out", why}}.dump(2) + "\n");
  else
    print("Written: " + page + "\n");
  return 0;
}

}  // namespace

void define_report(CLI::App& app, Action& chosen) {
  auto command = std::make_shared<ReportCommand>();
  app.add_option("RESULT", command->results, "study.json or profile.json, or their folders, in any mix")
      ->type_name("")
      ->required();
  app.add_option("-o,--out", command->out, "the page")->type_name("FILE")->required();
  app.add_option("--price", command->options.price_per_kWh, "of a kWh, in your currency: what a million inferences cost")
      ->check(number(0, 1e9))
      ->type_name("P");
  app.add_option("--carbon", command->options.grams_per_kWh, "grams of CO2e that a kWh stands for")
      ->check(number(0, 1e9))
      ->type_name("G");
  add_output_options(app, command->output);
  app.callback([&chosen, command] { chosen = [command] { return run(*command); }; });
}

}  // namespace eaq

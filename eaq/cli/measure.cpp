// measure: the energy of any command, as `time` has its time. Only the summary is ours: the command's streams, signals and exit
// code are its own.
#include "eaq/measure/measure.h"
#include "eaq/base/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "eaq/cli/cli.h"

namespace eaq {
namespace {

struct MeasureCommand {
  MeterChoice meters;
  std::vector<std::string> zones;
  std::optional<std::filesystem::path> out;
  double idle = 0;
  int repeat = 1;
  OutputOptions output;
};

std::vector<std::string>& measured_command() {
  static std::vector<std::string> command;
  return command;
}

// One run of the command.
struct CommandRun {
  CommandEnd end;
  double seconds = 0;
  std::optional<Uncertain> joules;
};

struct Summary {
  std::vector<CommandRun> runs;
  bool cut_short = false;  // fewer runs than asked for
  std::vector<std::string> charged;
  std::vector<std::pair<std::string, double>> zones;  // joules of a run, mean
  std::vector<std::pair<std::string, std::string>> zones_unavailable;
  MeterLabel label = MeterLabel::measured;
  EnergyMethod method = EnergyMethod::counter;
  std::optional<double> scale_uncertainty;
  std::string unavailable;          // why there are no joules
  std::optional<Uncertain> joules;  // of a run
  std::optional<Uncertain> idle_watts, above;
  std::string above_unavailable;
};

Uncertain mean_of(std::span<const double> values) {
  const auto n = static_cast<double>(values.size());
  return {mean(values), std::sqrt(variance(values) / n), n - 1};
}

// What is charged: the cards where a meter sees any, else what covers the processor or the machine.
std::vector<std::size_t> charged_zones(const MeterSet& meters, const std::vector<std::string>& names, std::string& why) {
  const auto& zones = meters.zones();
  if (!names.empty()) {
    std::vector<std::size_t> chosen;
    for (const std::string& name : names) {
      std::string known;
      bool found = false;
      for (std::size_t z = 0; z < zones.size(); ++z) {
        known += (known.empty() ? "" : ", ") + zones[z].full_name;
        if (zones[z].full_name != name && zones[z].zone.name != name) continue;
        found = true;
        if (std::find(chosen.begin(), chosen.end(), z) == chosen.end()) chosen.push_back(z);
      }
      if (!found)
        throw Error(ErrorKind::usage, "--zones: there is no zone '" + printable(name) + "'; " +
                                          (known.empty() ? meters.why_none() : "there are: " + printable(known)));
    }
    return chosen;
  }
  const bool cards = std::any_of(zones.begin(), zones.end(), [](const auto& z) { return z.zone.role == ZoneRole::gpu; });
  const ZoneRole role = cards ? ZoneRole::gpu : ZoneRole::cpu;
  why = meters.why_no_headline(role);
  return meters.headline(role);
}

void weigh_zones(Summary& summary, const SpanRecord& spans) {
  for (const ZoneRecord& zone : spans.record.zones) {
    double sum = 0;
    std::string why;
    for (const Span& span : spans.spans) {
      const SpanEnergy e = span_energy(zone, span);
      if (e.joules)
        sum += e.joules->value;
      else if (why.empty())
        why = e.reason;
    }
    if (why.empty())
      summary.zones.emplace_back(zone.name, sum / static_cast<double>(spans.spans.size()));
    else
      summary.zones_unavailable.emplace_back(zone.name, why);
  }
}

// Joules of every run, of the charged zones together.
void weigh_runs(Summary& summary, const SpanRecord& spans, const std::vector<std::size_t>& charged) {
  std::vector<Uncertain> idle;
  for (std::size_t r = 0; r < spans.spans.size(); ++r) {
    std::vector<Uncertain> parts;
    for (const std::size_t z : charged) {
      const ZoneRecord& zone = spans.record.zones[z];
      const SpanEnergy e = span_energy(zone, spans.spans[r]);
      if (!e.joules) {
        summary.unavailable = e.reason;
        return;
      }
      parts.push_back(*e.joules);
      if (r == 0 && e.idle_watts) idle.push_back(*e.idle_watts);
      if (r > 0) continue;
      summary.charged.push_back(zone.name);
      if (zone.label != MeterLabel::measured) summary.label = zone.label;
      if (e.method != EnergyMethod::counter) summary.method = e.method;
      if (zone.zone.uncertainty)
        summary.scale_uncertainty = std::max(summary.scale_uncertainty.value_or(0), *zone.zone.uncertainty);
    }
    summary.runs[r].joules = sum_of(parts);
  }
  if (idle.size() == charged.size()) summary.idle_watts = sum_of(idle);
}

void conclude(Summary& summary, bool wants_idle, bool stated) {
  std::vector<double> joules, above;
  double seconds = 0;
  for (const CommandRun& run : summary.runs) {
    joules.push_back(run.joules->value);
    seconds += run.seconds / static_cast<double>(summary.runs.size());
    if (summary.idle_watts) above.push_back(above_idle(*run.joules, *summary.idle_watts, Seconds(run.seconds)).value);
  }
  const bool one = joules.size() == 1;
  summary.joules = one ? *summary.runs[0].joules : mean_of(joules);
  if (!wants_idle) return;
  if (stated) {
    summary.above_unavailable = "a power that you state is the same while idling";
    return;
  }
  if (!summary.idle_watts) {
    summary.above_unavailable = "the meter gave too few values while idling: a longer --idle shows its power";
    return;
  }
  if (one) {
    summary.above = above_idle(*summary.joules, *summary.idle_watts, Seconds(seconds));
    return;
  }
  // The idle power's own error is common to all runs.
  summary.above = mean_of(above);
  summary.above->error = std::hypot(summary.above->error, summary.idle_watts->error * seconds);
  summary.above->degrees = std::min(summary.above->degrees, summary.idle_watts->degrees);
}

Json rounded_interval(const Uncertain& x) {
  const Interval ci = x.ci95();
  return Json::array({ci.low, ci.high});
}

double mean_seconds(const Summary& summary) {
  double sum = 0;
  for (const CommandRun& run : summary.runs) sum += run.seconds;
  return sum / static_cast<double>(summary.runs.size());
}

Json energy_json(const Summary& s) {
  Json zones = Json::object(), missing = Json::object();
  for (const auto& [name, joules] : s.zones) zones[printable(name)] = joules;
  for (const auto& [name, why] : s.zones_unavailable) missing[printable(name)] = printable(why);
  Json charged = Json::array();
  for (const std::string& name : s.charged) charged.push_back(printable(name));
  Json energy{{"zones", std::move(zones)},
              {"charged", std::move(charged)},
              {"J", s.joules->value},
              {"ci95", rounded_interval(*s.joules)},
              {"label", name_of(s.label)},
              {"method", name_of(s.method)},
              {"mean_power_W", s.joules->value / mean_seconds(s)},
              {"scale_uncertainty", s.scale_uncertainty ? Json(*s.scale_uncertainty) : Json()}};
  if (!missing.empty()) energy["zones_unavailable"] = std::move(missing);
  if (s.above)
    energy["above_idle"] = {{"J", s.above->value}, {"ci95", rounded_interval(*s.above)}, {"idle_W", s.idle_watts->value}};
  if (!s.above_unavailable.empty()) energy["above_idle_unavailable"] = s.above_unavailable;
  return energy;
}

std::string json_text(const Summary& s) {
  Json command = Json::array();
  for (const std::string& word : measured_command()) command.push_back(is_utf8(word) ? word : printable(word));
  Json json{{"command", std::move(command)}, {"exit_code", s.runs.back().end.exit_code}, {"seconds", mean_seconds(s)}};
  if (s.runs.size() > 1) {
    Json runs = Json::array();
    std::vector<double> seconds;
    for (const CommandRun& run : s.runs) {
      seconds.push_back(run.seconds);
      Json one{{"exit_code", run.end.exit_code}, {"seconds", run.seconds}, {"J", Json()}, {"ci95", Json()}};
      if (run.joules) one["J"] = run.joules->value, one["ci95"] = rounded_interval(*run.joules);
      runs.push_back(std::move(one));
    }
    json["seconds_ci95"] = rounded_interval(mean_of(seconds));
    json["runs"] = std::move(runs);
  }
  json["energy"] = s.joules ? energy_json(s) : Json();
  if (!s.joules) json["energy_unavailable"] = printable(s.unavailable);
  return json.dump(2) + "\n";
}

// As many decimals as the margin's first two digits need.
std::string with_margin(const Uncertain& x, const char* unit) {
  const Interval ci = x.ci95();
  const double margin = (ci.high - ci.low) / 2, scale = margin > 0 ? margin : std::abs(x.value) / 1000;
  const int decimals = scale > 0 ? std::clamp(1 - static_cast<int>(std::floor(std::log10(scale))), 0, 6) : 0;
  return fmt::format("{:.{}f} \u00b1{:.{}f} {}", x.value, decimals, margin, decimals, unit);
}

std::string how_it_ended(const CommandEnd& end) {
  if (end.signalled) return fmt::format("ended by signal {} (exit code {})", end.exit_code - 128, end.exit_code);
  return fmt::format("exit code {}", end.exit_code);
}

std::string screen_text(const Summary& s, int asked) {
  std::string text = printable(measured_command().front()) + ": " + how_it_ended(s.runs.back().end);
  if (s.runs.size() > 1) text += fmt::format("; mean of {} runs", s.runs.size());
  if (s.cut_short) text += fmt::format(" ({} were asked for)", asked);
  text += "\n  time    ";
  if (s.runs.size() > 1) {
    std::vector<double> seconds;
    for (const CommandRun& run : s.runs) seconds.push_back(run.seconds);
    text += with_margin(mean_of(seconds), "s") + "\n";
  } else {
    text += fmt::format("{:.3f} s\n", s.runs[0].seconds);
  }
  if (!s.joules) return text + "  energy  not available: " + printable(s.unavailable) + "\n";
  std::string charged;
  for (const std::string& name : s.charged) charged += (charged.empty() ? "" : " + ") + printable(name);
  text += "  energy  " + with_margin(*s.joules, "J") + fmt::format(", {:.4g} W", s.joules->value / mean_seconds(s)) + " (" +
          std::string(name_of(s.label)) + (s.label == MeterLabel::assumed ? "" : ", " + std::string(name_of(s.method))) + ": " +
          charged + ")\n";
  if (s.above)
    text += "  above   " + with_margin(*s.above, "J") + fmt::format(" above the idle power of {:.4g} W\n", s.idle_watts->value);
  if (!s.above_unavailable.empty()) text += "  above   not available: " + s.above_unavailable + "\n";
  for (const auto& [name, joules] : s.zones)
    if (std::find(s.charged.begin(), s.charged.end(), name) == s.charged.end())
      text += fmt::format("  also    {:.4g} J ({}), not added\n", joules, printable(name));
  for (const auto& [name, why] : s.zones_unavailable)
    text += "  also    " + printable(name) + ": not available: " + printable(why) + "\n";
  if (s.scale_uncertainty)
    text += fmt::format("  The meter's scale may be off by {:.2g} %, which is in no interval.\n", 100 * *s.scale_uncertainty);
  return text;
}

int run(const MeasureCommand& command) {
  if (measured_command().empty())
    throw Error(ErrorKind::usage, "measure wants a command after --, as in: eaq measure -- make -j4");
  const InheritedFiles inherited;
  MeterSet meters = open_chosen_meters(command.meters);
  Summary summary;
  const std::vector<std::size_t> charged = charged_zones(meters, command.zones, summary.unavailable);
  std::optional<AtomicFile> file;
  if (command.out) file.emplace(*command.out);
  catch_interrupts();

  SpanOptions options{.zones = charged, .idle = Seconds(command.idle), .repeat = command.repeat};
  // Where only time is told, or a power that does not change, one look on each side will do.
  const bool stated = std::all_of(charged.begin(), charged.end(), [&](std::size_t z) {
    return meters.meters()[meters.zones()[z].meter]->label() == MeterLabel::assumed;
  });
  if (stated) options.least = options.idle = Seconds(0), options.values = 1;
  const SpanRecord spans = record_spans(meters, monotonic_clock(), options, [&] {
    inherited.keep_the_rest();
    CommandRun one;
    one.end = run_command(measured_command(), broken_pipes_were_ignored());
    summary.runs.push_back(one);
    return one.end.not_run.empty() && one.end.exit_code == 0;
  });
  if (summary.runs.empty()) throw Error(ErrorKind::interrupted, "interrupted before the command was started");
  const CommandEnd& last = summary.runs.back().end;
  if (!last.not_run.empty()) {
    warn("eaq: measure: " + printable(measured_command().front()) + ": " + last.not_run);
    return last.exit_code;
  }
  summary.cut_short = static_cast<int>(summary.runs.size()) < command.repeat;
  for (std::size_t r = 0; r < summary.runs.size(); ++r)
    summary.runs[r].seconds = (spans.spans[r].end - spans.spans[r].start).value();
  if (!charged.empty()) {
    weigh_zones(summary, spans);
    weigh_runs(summary, spans, charged);
    if (summary.unavailable.empty()) conclude(summary, command.idle > 0, stated);
  }
  const std::string text = command.output.json ? json_text(summary) : screen_text(summary, command.repeat);
  if (file) {
    file->write(text);
    file->commit();
  } else {
    std::fputs(text.c_str(), stderr);
  }
  return last.exit_code;
}

}  // namespace

int keep_measured_command(int count, char** arguments) {
  for (int i = 2; i < count; ++i) {
    if (std::string_view(arguments[i]) != "--") continue;
    measured_command().assign(arguments + i + 1, arguments + count);
    return i;
  }
  return count;
}

void define_measure(CLI::App& app, Action& chosen) {
  auto command = std::make_shared<MeasureCommand>();
  app.description("the energy of any command, as `time` tells its time: eaq measure [OPTIONS] -- COMMAND...");
  app.add_option("--repeat", command->repeat, "runs, of which mean and interval are told; a failing one is the last")
      ->check(whole_number(1, 1000000))
      ->type_name("N")
      ->capture_default_str();
  app.add_option_function<double>(
         "--idle", [command](const double& seconds) { command->idle = seconds; },
         "seconds of idling before (5 where no number is given), and the joules above that power")
      ->expected(0, 1)
      ->default_str("5")
      ->check(number(0.1, 3600))
      ->type_name("[S]");
  app.add_option("--zones", command->zones, "what is charged (default: the cards that a meter sees, else the processor)")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("NAME,...");
  app.add_option("-o,--out", command->out, "the summary, in place of standard error")->type_name("FILE");
  add_meter_options(app, command->meters);
  app.add_flag("--json", command->output.json, "the summary as JSON");
  app.add_flag_callback(
      "--quiet", [] { set_quiet(true); }, "no notes; the summary stays");
  app.allow_extras();
  app.callback([&app, &chosen, command] {
    if (const auto extras = app.remaining(); !extras.empty())
      throw Error(ErrorKind::usage, "measure: '" + printable(extras.front()) +
                                        "' is no option; the command stands after --, as in: eaq measure -- make -j4");
    chosen = [command] { return run(*command); };
  });
}

}  // namespace eaq

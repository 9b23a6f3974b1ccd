#include "eaq/base/json.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "eaq/cli/cli.h"

namespace eaq {
namespace {

struct GenerateCommand {
  std::string model, prompt;
  GenerateOptions generation;
  StudyOptions options;
  MeterChoice meters;
  OutputOptions output;
};

// Text as it grows: bytes of a character that is not yet whole are held back.
class TextStream {
 public:
  explicit TextStream(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}
  std::string add(std::int32_t id) {
    ids_.push_back(id);
    const std::string text = tokenizer_.decode(ids_, true);
    if (text.ends_with("\uFFFD")) return "";
    return rest(text);
  }
  std::string finish() { return rest(tokenizer_.decode(ids_, true)); }

 private:
  std::string rest(const std::string& text) {
    std::string fresh = text.size() > shown_ ? text.substr(shown_) : "";
    shown_ = std::max(shown_, text.size());
    return fresh;
  }

  const Tokenizer& tokenizer_;
  std::vector<std::int32_t> ids_;
  std::size_t shown_ = 0;
};

// Joules of the headline zones between two moments, or why there are none.
struct Joined {
  std::optional<Joules> joules;
  std::string why, label;
};

Joined energy_of(const MeterSet& meters, ZoneRole device, const SampleRecord& record, Seconds start, Seconds end) {
  Joined sum;
  const std::vector<std::size_t> zones = meters.headline(device);
  if (zones.empty()) return {{}, meters.empty() ? meters.why_none() : meters.why_no_headline(device), ""};
  sum.joules = Joules(0);
  for (const std::size_t z : zones) {
    const WindowEnergy window = window_energy(record.zones[z], start, end);
    if (!window.joules) return {{}, window.reason, ""};
    *sum.joules += *window.joules;
    sum.label = name_of(record.zones[z].label);
  }
  return sum;
}

double milliseconds_per_token(const Generated& text) {
  return text.ids.size() > 1 ? text.decode.value() * 1e3 / static_cast<double>(text.ids.size() - 1) : NAN;
}

void say_cost(const Generated& text, const Joined& energy) {
  std::string line =
      std::to_string(text.ids.size()) + " tokens; prompt " + std::to_string(std::lround(text.prefill.value() * 1e3)) + " ms";
  char number[64];
  if (text.ids.size() > 1) {
    std::snprintf(number, sizeof number, ", %.3g ms per token", milliseconds_per_token(text));
    line += number;
  }
  if (energy.joules) {
    std::snprintf(number, sizeof number, ", %.3g mJ per token (%s)",
                  energy.joules->value() * 1e3 / static_cast<double>(text.ids.size()), energy.label.c_str());
    line += number;
  } else {
    line += "; no joules: " + energy.why;
  }
  note(line);
}

Json json_of(const GenerateCommand& command, const Model& model, const Tokenizer& tokenizer, const Generated& text,
             const Joined& energy) {
  const double ms = milliseconds_per_token(text);
  Json json{{"model", model.name},
            {"prompt", command.prompt},
            {"ids", text.ids},
            {"text", tokenizer.decode(text.ids, true)},
            {"tokens", text.ids.size()},
            {"prefill_ms", text.prefill.value() * 1e3},
            {"ms_per_token", std::isfinite(ms) ? Json(ms) : Json()},
            {"mJ_per_token", Json()}};
  if (energy.joules) {
    json["mJ_per_token"] = energy.joules->value() * 1e3 / static_cast<double>(text.ids.size());
    json["label"] = energy.label;
  } else {
    json["energy_unavailable"] = printable(energy.why);
  }
  return json;
}

int run(const GenerateCommand& command) {
  fetch_model(command.model);
  const Model model = open_model(command.model);
  const auto tokenizer = tokenizer_of(model);
  if (!is_utf8(command.prompt)) throw Error(ErrorKind::usage, "the prompt is not valid UTF-8");
  std::vector<std::int32_t> prompt = tokenizer->encode(command.prompt);
  // Without a prompt a text begins where another ended.
  if (prompt.empty() && model.graph.end_of_text >= 0) prompt.push_back(static_cast<std::int32_t>(model.graph.end_of_text));
  const auto packed = pack_chosen(model, command.options);
  const DeviceDescription device = packed->device().context->description();
  MeterSet meters = open_chosen_meters(command.meters, device.uuid);
  catch_interrupts();

  GenerateOptions generation = command.generation;
  generation.seed = command.options.seed;
  generation.listener = meters.listener();
  TextStream stream(*tokenizer);
  const bool streams = !command.output.json;
  Sampler sampler(meters, monotonic_clock());
  // A first value of the meters must be there when the text begins.
  if (!meters.empty()) monotonic_clock().sleep_until(sampler.origin() + Seconds(0.2));
  const Seconds start = monotonic_clock().now() - sampler.origin();
  bool begun = false;
  const auto show = [&](std::int32_t id) {
    // The prompt comes with the first token, so that an error stands alone.
    return !streams || ((std::exchange(begun, true) || print(command.prompt)) && print(stream.add(id)));
  };
  const Generated text = generate(packed, prompt, generation, show);
  const Seconds end = monotonic_clock().now() - sampler.origin();
  const Joined energy = energy_of(meters, zone_of(device), sampler.stop(), start, end);
  if (streams) {
    print(stream.finish() + "\n");
    say_cost(text, energy);
  } else {
    print(json_of(command, model, *tokenizer, text, energy).dump(2) + "\n");
  }
  return interrupted() ? static_cast<int>(ErrorKind::interrupted) : 0;
}

}  // namespace

void define_generate(CLI::App& app, Action& chosen) {
  auto command = std::make_shared<GenerateCommand>();
  GenerateOptions& g = command->generation;
  add_model_argument(app, command->model);
  app.add_option("PROMPT", command->prompt, "the text to continue")->type_name("")->required();
  app.add_option("--max-new-tokens", g.max_new_tokens, "how much is written at most")
      ->check(whole_number(1, 1 << 20))
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--temperature", g.temperature, "0 takes the likeliest token each time")
      ->check(number(0, 1000))
      ->type_name("T")
      ->capture_default_str();
  app.add_option("--top-k", g.top_k, "choose among the K likeliest (0: all)")
      ->check(whole_number(0, 1 << 30))
      ->type_name("K")
      ->capture_default_str();
  app.add_option("--top-p", g.top_p, "choose among the likeliest that reach this probability")
      ->check(number(1e-9, 1))
      ->type_name("P")
      ->capture_default_str();
  app.add_option("--seed", command->options.seed, "of the choices above temperature 0")
      ->check(seed_number())
      ->type_name("N")
      ->capture_default_str();
  app.add_flag_callback(
      "--ignore-end", [&g] { g.stop_at_end = false; }, "go on after the model's end-of-text token");
  add_format_option(app, command->options);
  add_device_options(app, command->options);
  add_meter_options(app, command->meters);
  add_output_options(app, command->output);
  app.callback([&chosen, command] { chosen = [command] { return run(*command); }; });
}

}  // namespace eaq

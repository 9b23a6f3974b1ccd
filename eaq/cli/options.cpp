#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "eaq/cli/cli.h"

namespace eaq {
namespace {

// The whole text as a number, or nothing.
template <class T>
std::optional<T> parsed(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string short_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

std::string wrong(const std::string& value, const std::string& wanted) { return "'" + value + "' is not " + wanted; }

// A device that this build or this machine lacks is not a wrong name, and its reason comes before anything is opened.
void require_device(const std::string& text) {
  const DeviceName device = parse_device_name(text);
  std::string reason;
  for (const auto& row : compute_devices())
    if (row.name == device.kind)
      reason = row.entry == nullptr
                   ? std::string(row.left_out)
                   : "models do not run on it in this version (its sensors can be calibrated: eaq meter --calibrate)";
  for (const auto& row : backends())
    if (row.name == device.kind) reason = row.entry == nullptr ? std::string(row.left_out) : row.entry->unavailable_reason();
  if (reason.empty()) return;
  std::vector<std::string> here;
  for (const auto& row : backends())
    if (row.entry != nullptr && row.entry->unavailable_reason().empty()) here.emplace_back(row.name);
  throw Error(ErrorKind::unavailable,
              "--device " + printable(text) + " is not available: " + reason + "; devices here: " + listed(here));
}

}  // namespace

CLI::Validator whole_number(std::int64_t low, std::int64_t high) {
  return {[=](std::string& value) {
            const auto x = parsed<std::int64_t>(value);
            return x && *x >= low && *x <= high
                       ? std::string()
                       : wrong(value, "a whole number from " + std::to_string(low) + " to " + std::to_string(high));
          },
          ""};
}

CLI::Validator seed_number() {
  return {[](std::string& value) {
            return parsed<std::uint64_t>(value) ? std::string() : wrong(value, "a whole number from 0 to 18446744073709551615");
          },
          ""};
}

CLI::Validator number(double low, double high) {
  return {[=](std::string& value) {
            const auto x = parsed<double>(value);
            return x && std::isfinite(*x) && *x >= low && *x <= high
                       ? std::string()
                       : wrong(value, "a number from " + short_text(low) + " to " + short_text(high));
          },
          ""};
}

CLI::Validator one_of(std::vector<std::string> names) {
  return {[names = std::move(names)](std::string& value) {
            return std::find(names.begin(), names.end(), value) != names.end() ? std::string()
                                                                               : wrong(value, "one of " + listed(names));
          },
          ""};
}

CLI::Validator choice_among(std::vector<std::pair<std::string, int>> names) {
  return {[names = std::move(names)](std::string& value) {
            std::vector<std::string> known;
            const std::string lower = CLI::detail::to_lower(value);
            for (const auto& [name, meaning] : names) {
              known.push_back(name);
              if (name != lower) continue;
              value = std::to_string(meaning);
              return std::string();
            }
            return wrong(value, "one of " + listed(known));
          },
          ""};
}

void add_output_options(CLI::App& app, OutputOptions& options) {
  app.add_flag("--json", options.json, "machine-readable, to standard output, and nothing else there");
  app.add_flag_callback(
      "--quiet", [] { set_quiet(true); }, "no progress and no notes on standard error");
}

void add_model_argument(CLI::App& app, std::string& model) {
  app.add_option("MODEL", model,
                 "a folder as Hugging Face writes it, an embedded model (tiny-gpt2, tiny-distilbert), one of the hub "
                 "(hf:openai-community/gpt2), or random weights (synthetic:gpt2)")
      ->type_name("")
      ->required();
  add_offline_option(app);
}

void add_device_options(CLI::App& app, StudyOptions& options, bool for_models) {
  auto* device = app.add_option("--device", options.device,
                                for_models ? "what computes: cpu, cuda, cuda:1, ..., or ref (plain and slow, to check against)"
                                           : "what is driven: cpu, cuda, cuda:1, ...");
  device->type_name("DEVICE")->capture_default_str();
  if (for_models) device->each(require_device);
  app.add_option("--threads", options.threads, "threads of the CPU, at most 1024 (0: every core of this process)")
      ->check(whole_number(0, 1024))
      ->type_name("N");
}

void add_data_options(CLI::App& app, StudyOptions& options) {
  DataOptions& data = options.data;
  app.add_option("--task", data.task, "sst2, wikitext2 or text, where the model does not say")
      ->check(one_of({"sst2", "wikitext2", "text"}))
      ->type_name("TASK");
  app.add_option("--data", data.file, "SST-2 as tsv or JSONL, or any text, in place of the set that eaq carries")
      ->type_name("FILE");
  app.add_option("--join", data.join,
                 "a text as the file is, or its lines joined by blank lines as Hugging Face's perplexity guide does")
      ->transform(choice_among({{"raw", static_cast<int>(Join::raw)}, {"hf", static_cast<int>(Join::hf)}}))
      ->default_str("raw")
      ->type_name("raw|hf");
  app.add_option("--window", data.window, "tokens of a text judged at once (default: 1024 or the context)")
      ->check(whole_number(2, std::int64_t{1} << 30))
      ->type_name("N");
  app.add_option("--stride", data.stride, "between windows (default: the window, no overlap)")
      ->check(whole_number(1, std::int64_t{1} << 30))
      ->type_name("N");
  app.add_option("--limit", data.limit, "the first N sentences, or windows of a text")
      ->check(whole_number(1, std::int64_t{1} << 40))
      ->type_name("N");
  app.add_flag_callback(
      "--no-cache", [&data] { data.cache = false; }, "do not keep tokenised data in the cache folder");
}

void add_shape_options(CLI::App& app, StudyOptions& options, bool sweeps) {
  const std::string list = sweeps ? "; a list sweeps" : "", more = sweeps ? ",..." : "";
  const CLI::Validator positive = whole_number(1, std::int64_t{1} << 20);
  app.add_option("--batch", options.batch, "sentences, windows or sequences per run" + list)
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(positive)
      ->type_name("N" + more);
  app.add_option("--seq", options.seq, "tokens that each is padded or cut to (decode: of the prompt)" + list)
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(positive)
      ->type_name("N" + more);
  app.add_flag("--unpadded", options.unpadded, "sentences at their own lengths");
  app.add_option(
         "--phase", options.phases,
         std::string("forward, prefill or decode (default: forward") + (sweeps ? ", and decode where a model generates)" : ")"))
      ->delimiter(',')
      ->allow_extra_args(false)
      ->transform(choice_among({{"forward", static_cast<int>(Phase::forward)},
                                {"prefill", static_cast<int>(Phase::prefill)},
                                {"decode", static_cast<int>(Phase::decode)}}))
      ->type_name("PHASE" + more);
}

void add_base_option(CLI::App& app, StudyOptions& options) {
  app.add_option("--base", options.base, "format of what an 8-bit format leaves (default: fp32; on a card bf16, or fp16)")
      ->type_name("F");
}

void add_format_option(CLI::App& app, StudyOptions& options) {
  auto* format = app.add_option_function<std::string>(
      "--format", [&options](const std::string& name) { options.formats = {name}; },
      "fp32 where none is given; +head covers embedding and head too");
  format->type_name("F");
  auto* recipe = app.add_option_function<std::string>(
      "--recipe", [&options](const std::string& file) { options.recipes = {file}; }, "a format for each site, as eaq.recipe/1");
  recipe->type_name("FILE")->excludes(format);
  add_base_option(app, options);
}

void add_meter_options(CLI::App& app, MeterChoice& choice) {
  app.add_option(
         "--meter", choice.specs,
         "none, or one of `eaq meter`'s with its argument: rapl, hwmon, exec:COMMAND, replay:FILE, synthetic:FILE (repeatable)")
      ->type_name("KIND[:ARG]")
      ->allow_extra_args(false);
  app.add_option("--assume-watts", choice.assume_watts, "joules from a constant power that you state; shown as assumed")
      ->check(number(1e-6, 1e9))
      ->type_name("W");
}

MeterSet open_chosen_meters(const MeterChoice& choice, const std::string& gpu) {
  std::optional<Watts> assumed;
  MeterOptions options = meter_options_from_environment();
  options.gpu = gpu;
  if (choice.assume_watts > 0) assumed = Watts(choice.assume_watts);
  MeterSet meters = open_meters(choice.specs, assumed, options);
  apply_calibrations(meters, calibration_folder());
  return meters;
}

std::string card_in_use(const StudyOptions& options) {
  // A processor has no such name: no need to start its threads.
  const std::string kind = parse_device_name(options.device).kind;
  if (kind == "cpu" || kind == "ref") return "";
  return open_device(options.device).context->description().uuid;
}

std::shared_ptr<const PackedModel> pack_chosen(const Model& model, const StudyOptions& options) {
  const Device device = open_device(options.device, {.threads = options.threads});
  const std::string base = options.base.empty() ? default_base(device) : options.base;
  Recipe recipe = options.recipes.empty()
                      ? uniform_recipe(model.graph, options.formats.empty() ? "fp32" : options.formats.front(), base)
                      : read_recipe(model.graph, options.recipes.front());
  return std::make_shared<const PackedModel>(model, std::move(recipe), device);
}

}  // namespace eaq

// cli: the program. One file per command; main.cpp reads the command line, runs the one that was chosen and turns its errors into
// exit codes. Options that several commands share are defined once, in options.cpp.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "eaq/base/base.h"
#include "eaq/engine/engine.h"
#include "eaq/kernel/kernel.h"
#include "eaq/meter/meter.h"
#include "eaq/study/study.h"

namespace eaq {

/// What runs once the command line has been read. Returns the exit code.
using Action = std::function<int()>;

/// A command: its name, one line on what it does, an example, and how it defines its options. `define` sets `chosen` from the
/// subcommand's callback.
struct Command {
  std::string_view name, summary, example;
  void (*define)(CLI::App& app, Action& chosen);
};
std::span<const Command> commands();

// Each in the file of its name.
void define_study(CLI::App& app, Action& chosen);
void define_profile(CLI::App& app, Action& chosen);
void define_evaluate(CLI::App& app, Action& chosen);
void define_logits(CLI::App& app, Action& chosen);
void define_tokenize(CLI::App& app, Action& chosen);
void define_generate(CLI::App& app, Action& chosen);
void define_inspect(CLI::App& app, Action& chosen);
void define_doctor(CLI::App& app, Action& chosen);
void define_meter(CLI::App& app, Action& chosen);
void define_measure(CLI::App& app, Action& chosen);
void define_compare(CLI::App& app, Action& chosen);
void define_report(CLI::App& app, Action& chosen);
void define_fetch(CLI::App& app, Action& chosen);

/// Of `eaq measure OPTIONS -- COMMAND...`: keeps the command for later, since it is not ours to read, and returns how many
/// arguments are left.
int keep_measured_command(int count, char** arguments);

// --- output.cpp

/// Writes to standard output. Where nobody reads any more (a closed pipe) it returns false, and so does every later call; any
/// other failure is Error{input} with the system's reason, e.g. on a full disk.
bool print(std::string_view text);
/// Makes sure that standard streams are open, so that no file takes their place, and that a closed pipe is an error, not a
/// signal; and finds out whether what is printed may have colours.
void prepare_standard_streams();
bool broken_pipes_were_ignored();  ///< before that, as by a parent's wish
/// What was typed, for manifests; set by main.
void set_command_line(std::vector<std::string> arguments);
const std::vector<std::string>& command_line();

// --- options.cpp

// What an option's value may be. Errors name the value and what it should have been; NaN and infinities are no numbers.
CLI::Validator whole_number(std::int64_t low, std::int64_t high);
CLI::Validator seed_number();  ///< 0 to 2^64 - 1
CLI::Validator number(double low, double high);
CLI::Validator one_of(std::vector<std::string> names);
/// Names, in upper or lower case, for values: an option's transform.
CLI::Validator choice_among(std::vector<std::pair<std::string, int>> names);

struct OutputOptions {
  bool json = false;
};
void add_output_options(CLI::App& app, OutputOptions& options);  ///< --json, --quiet

void add_model_argument(CLI::App& app, std::string& model);  ///< MODEL, and --offline
/// --device and --threads. Where models are to run on the device, one that they cannot run on is refused at once.
void add_device_options(CLI::App& app, StudyOptions& options, bool for_models = true);
void add_data_options(CLI::App& app, StudyOptions& options);
/// --batch, --seq, --unpadded, --phase; without sweeps of one shape each.
void add_shape_options(CLI::App& app, StudyOptions& options, bool sweeps = true);
void add_base_option(CLI::App& app, StudyOptions& options);
void add_format_option(CLI::App& app, StudyOptions& options);  ///< --format or --recipe: one; and --base

struct MeterChoice {
  std::vector<std::string> specs;
  double assume_watts = 0;
};
void add_meter_options(CLI::App& app, MeterChoice& choice);
/// Opens them, with what calibrations found out about them; `--meter none` is an empty set that says so.
/// `gpu` is the UUID of the card in use, where one is: no other is charged.
MeterSet open_chosen_meters(const MeterChoice& choice, const std::string& gpu = {});
/// The UUID of the card that was chosen to compute; empty where none was.
std::string card_in_use(const StudyOptions& options);

// --- fetch.cpp

void add_offline_option(CLI::App& app);  ///< --offline
/// Brings those named "hf:..." into the hub's cache, where the engine finds them; before a command opens its models.
void fetch_models(std::span<const std::string> models);
inline void fetch_model(const std::string& model) { fetch_models({&model, 1}); }

// --- load.cpp, calibrate.cpp

/// A load in units for calibration, told to the listener (where there is one) as steps of kind "linear" in bf16.
CalibrationLoad make_load(const std::shared_ptr<Load>& load, StepListener* listener);

struct CalibrateCommand {
  StudyOptions options;  ///< device and threads
  MeterChoice meters;
  double seconds_scale = 1;
  OutputOptions output;
};
int run_calibration(const CalibrateCommand& command);
/// "every 100.0 ms, mean of 1000 ms, 12 ms late", of a zone's headline quantity; parts that are not known are left out.
std::string zone_traits(const Zone& zone);

// --- study.cpp

struct StudyCommand {
  StudyOptions options;
  MeterChoice meters;
  std::optional<std::filesystem::path> out;
  std::filesystem::path like;
  std::string method;
  OutputOptions output;
};
/// What a result's manifest says was typed, but for --out. Error{input} where this version has no such options; `name` is the
/// result's.
StudyCommand command_of(const Study& result, const std::string& name);
/// Options that say more than one field, and those that exclude each other.
void settle(StudyCommand& command);

/// The model in the one format that was chosen, packed on the device that was chosen.
std::shared_ptr<const PackedModel> pack_chosen(const Model& model, const StudyOptions& options);

}  // namespace eaq

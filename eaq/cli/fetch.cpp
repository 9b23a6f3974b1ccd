#include "eaq/base/json.h"

#include <cstdlib>

#include "eaq/cli/cli.h"
#include "eaq/hub/hub.h"

namespace eaq {
namespace {

struct FetchCommand {
  std::string repository, revision;
  std::filesystem::path out;
  OutputOptions output;
};

// A model that no family here takes is refused before its weights come.
HubOptions hub_options() {
  HubOptions options = hub_options_from_environment();
  options.judge = [](const std::string& config, const std::string& name) { graph_of_config(config, name); };
  return options;
}

std::string mebibytes(std::uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f MiB", static_cast<double>(bytes) / (1 << 20));
  return text;
}

std::string summary(const HubSnapshot& snapshot, Seconds spent) {
  std::uint64_t all = 0, came = 0;
  int files = 0;
  for (const HubFile& file : snapshot.files) {
    all += file.bytes;
    if (file.fetched) came += file.bytes, ++files;
  }
  std::string text = "hf:" + snapshot.name.id + " at commit " + snapshot.commit + ": " + std::to_string(snapshot.files.size()) +
                     " files, " + mebibytes(all);
  if (snapshot.from_cache) return text + ", from the cache (the hub was not asked)";
  if (files == 0) return text + ", all of them there";
  char rate[96];
  std::snprintf(rate, sizeof rate, "; %d fetched, %s in %.1f s", files, mebibytes(came).c_str(), spent.value());
  return text + rate;
}

Json json_of(const HubSnapshot& snapshot, Seconds spent) {
  Json files = Json::array();
  for (const HubFile& file : snapshot.files)
    files.push_back({{"name", printable(file.name)}, {"bytes", file.bytes}, {"fetched", file.fetched}});
  return {{"repository", snapshot.name.id},    {"revision", snapshot.name.revision},
          {"commit", snapshot.commit},         {"path", printable(snapshot.folder.string())},
          {"from_cache", snapshot.from_cache}, {"seconds", spent.value()},
          {"files", std::move(files)}};
}

int run(const FetchCommand& command) {
  HubName name = is_hub_model(command.repository) ? hub_name_of(command.repository) : parse_hub_name(command.repository);
  if (!command.revision.empty()) {
    if (command.repository.find('@') != std::string::npos)
      throw Error(ErrorKind::usage,
                  "two revisions: '" + printable(command.repository) + "' and --revision " + printable(command.revision));
    name = parse_hub_name(name.id + "@" + command.revision);
  }
  HubOptions options = hub_options();
  options.folder = command.out;
  catch_interrupts();
  const Seconds begun = monotonic_clock().now();
  const HubSnapshot snapshot = fetch_snapshot(name, options);
  const Seconds spent = monotonic_clock().now() - begun;
  if (command.output.json) {
    print(json_of(snapshot, spent).dump(2) + "\n");
  } else {
    note(summary(snapshot, spent));
    print(printable(snapshot.folder.string()) + "\n");
  }
  return 0;
}

}  // namespace

void add_offline_option(CLI::App& app) {
  // The variable is what engine and hub look at.
  app.add_flag_callback(
      "--offline", [] { ::setenv("HF_HUB_OFFLINE", "1", 1); }, "models of the hub from its cache alone; nobody is asked");
}

void fetch_models(std::span<const std::string> models) {
  std::error_code error;
  for (const std::string& model : models) {
    if (!is_hub_model(model) || std::filesystem::exists(model, error)) continue;
    catch_interrupts();
    const Seconds begun = monotonic_clock().now();
    const HubSnapshot snapshot = fetch_snapshot(hub_name_of(model), hub_options());
    note(summary(snapshot, monotonic_clock().now() - begun));
  }
}

void define_fetch(CLI::App& app, Action& chosen) {
  auto command = std::make_shared<FetchCommand>();
  app.add_option("REPO", command->repository, "owner/name of a repository on the hub, or owner/name@revision")
      ->type_name("")
      ->required();
  app.add_option("--revision", command->revision, "a branch, a tag or a commit (default: main)")->type_name("R");
  app.add_option("-o,--out", command->out, "a folder for the files (default: the hub's cache, which Python reads, too)")
      ->type_name("DIR");
  add_offline_option(app);
  add_output_options(app, command->output);
  app.callback([&chosen, command] { chosen = [command] { return run(*command); }; });
}

}  // namespace eaq

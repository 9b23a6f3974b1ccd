#include "eaq/base/json.h"

#include <unistd.h>

#include <fstream>

#include "eaq/cli/cli.h"
#include "eaq/hub/hub.h"

namespace eaq {
namespace {

struct Check {
  std::string name;
  bool ok = false;
  std::string found, advice;
};

Check check_cpu() {
  const CpuInfo& cpu = cpu_info();
  std::string flags;
  for (const std::string& flag : cpu.flags) flags += " " + flag;
  Check check{"cpu", true,
              cpu.model + ", " + std::to_string(cpu.logical_cores) + " cores for this process, kernels for " +
                  std::string(name_of(cpu_isa())) + ";" + flags,
              ""};
  if (cpu_isa() != cpu.isa)
    check.advice = "EAQ_CPU_ISA lowers the instruction sets; without it: " + std::string(name_of(cpu.isa));
  return check;
}

Check check_cuda() {
  for (const auto& row : compute_devices()) {
    if (row.name != "cuda") continue;
    if (row.entry == nullptr)
      return {"cuda", false, std::string(row.left_out), "make build-cuda; everything here runs on the processor until then"};
    try {
      std::string cards;
      for (const std::string& name : row.entry->found()) cards += (cards.empty() ? "" : ", ") + name;
      if (find_entry(backends(), "cuda") != nullptr) return {"cuda", true, cards + "; models run there (--device cuda)", ""};
      return {"cuda", true, cards,
              "calibrates sensors (`eaq meter --calibrate --device cuda`); models run on the processor in this version"};
    } catch (const Error& error) {
      return {"cuda", false, error.what(), "everything here runs on the processor until that is mended"};
    }
  }
  return {"cuda", false, "unknown to this version", ""};
}

// "NVIDIA H200, NVIDIA H200": what the driver calls its cards, without asking it.
std::string cards_of_driver() {
  std::string names;
  std::error_code error;
  for (const auto& card : std::filesystem::directory_iterator("/proc/driver/nvidia/gpus", error)) {
    std::ifstream file(card.path() / "information");
    for (std::string line; std::getline(file, line);) {
      if (!line.starts_with("Model:")) continue;
      const std::size_t name = line.find_first_not_of(" \t", 6);
      if (name != std::string::npos) names += (names.empty() ? "" : ", ") + printable(line.substr(name));
    }
  }
  return names;
}

Check check_gpu() {
  std::ifstream version("/proc/driver/nvidia/version");
  std::string line;
  std::error_code error;
  const bool told = static_cast<bool>(std::getline(version, line));
  if (!told && !std::filesystem::exists("/dev/nvidiactl", error))
    return {"gpu", false, "no NVIDIA driver (/proc/driver/nvidia is missing)",
            "everything here runs on the processor; a GPU needs its driver first"};
  const std::string cards = cards_of_driver();
  const bool used = find_entry(backends(), "cuda") != nullptr;
  return {"gpu", true, (cards.empty() ? "" : cards + "; ") + (told ? printable(line) : "an NVIDIA device (/dev/nvidiactl)"),
          used ? "" : "this build runs models on the processor alone; make build-cuda makes the one for cards"};
}

Check check_memory() {
  const HostRecord host = describe_host();
  const auto free = static_cast<std::int64_t>(::sysconf(_SC_AVPHYS_PAGES)) * ::sysconf(_SC_PAGESIZE);
  constexpr double gib = 1024.0 * 1024 * 1024;
  char text[96];
  std::snprintf(text, sizeof text, "%.1f GiB, %.1f GiB unused", static_cast<double>(host.memory_bytes) / gib,
                static_cast<double>(free) / gib);
  const bool ok = static_cast<double>(host.memory_bytes) > 3.5 * gib;
  return {"memory", ok, text,
          ok ? "" : "a study of a full-size GPT-2 holds all its formats at once, some 3 GiB: name fewer with --formats"};
}

std::vector<Check> check_meters() {
  std::vector<Check> checks;
  for (const MeterRow& row : probe_meters(meter_options_from_environment())) {
    std::string found = row.probe.available ? "available" : row.probe.reason;
    if (row.probe.available && !row.probe.zones.empty()) {
      found = "";
      for (const Zone& zone : row.probe.zones) found += (found.empty() ? "" : ", ") + zone.name;
    }
    checks.push_back({row.probe.name.empty() ? row.kind : row.probe.name, row.probe.available, found, row.probe.advice});
  }
  return checks;
}

Check check_libraries() {
  std::string found;
  for (const auto& [name, release] : loaded_libraries()) {
    if (!found.empty()) found += ", ";
    found += printable(name) + " " + printable(release);
  }
  return {"libraries", true, found.empty() ? "linked into the program" : found, ""};
}

std::vector<Check> check_files() {
  std::vector<Check> checks;
  for (const char* model : {"tiny-distilbert", "tiny-gpt2"}) {
    const auto path = embedded_model_path(model);
    checks.push_back(
        {std::string("model ") + model, path.has_value(),
         path ? printable(path->string()) : "not found: looked in " + searched_places(std::string("models/") + model),
         path ? "" : "run the program from its build folder or its installed place"});
  }
  for (const char* task : {"sst2", "wikitext2"}) {
    try {
      checks.push_back({std::string("data ") + task, true, printable(default_data_path(task).string()), ""});
    } catch (const Error& error) {
      checks.push_back({std::string("data ") + task, false, error.what(), "name a file with --data"});
    }
  }
  return checks;
}

Check check_cache() {
  const std::filesystem::path folder = cache_folder();
  if (folder.empty()) return {"cache", false, "neither XDG_CACHE_HOME nor HOME is set", "set one, or pass --no-cache"};
  // Nothing is made by looking: the nearest folder that exists tells.
  std::filesystem::path existing = folder;
  std::error_code error;
  while (!std::filesystem::exists(existing, error) && existing.has_parent_path() && existing != existing.parent_path())
    existing = existing.parent_path();
  const bool ok = ::access(existing.c_str(), W_OK | X_OK) == 0;
  return {"cache", ok, printable(folder.string()) + (ok ? "" : ", not writable"),
          ok ? "" : "data is then tokenised anew each time; set XDG_CACHE_HOME elsewhere"};
}

// Nobody is asked: what is here, and what a fetch would use.
Check check_hub() {
  try {
    const HubOptions hub = hub_options_from_environment();
    if (hub.cache.empty())
      return {"hub", false, "no folder for models: none of HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME and HOME is set", "set one"};
    int models = 0;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(hub.cache, error))
      models += entry.path().filename().string().starts_with("models--") ? 1 : 0;
    return {"hub", true,
            printable(hub.endpoint) + (hub.offline ? " (offline)" : "") + (hub.token.empty() ? ", no token" : ", a token") +
                "; " + std::to_string(models) + " models in " + printable(hub.cache.string()),
            ""};
  } catch (const Error& error) {
    return {"hub", false, error.what(), "unset what is wrong; models of the hub cannot be fetched until then"};
  }
}

std::string text_of(const std::vector<Check>& checks) {
  std::string text;
  for (const Check& check : checks) {
    std::string name = (check.ok ? "+ " : "- ") + check.name;
    name.resize(std::max<std::size_t>(name.size() + 1, 24), ' ');
    text += name + check.found + "\n";
    if (!check.advice.empty()) text += std::string(24, ' ') + "> " + check.advice + "\n";
  }
  return text;
}

int run(const OutputOptions& output) {
  std::vector<Check> checks{check_cpu(), check_cuda(), check_gpu(), check_memory()};
  for (Check& check : check_meters()) checks.push_back(std::move(check));
  checks.push_back(check_libraries());
  for (Check& check : check_files()) checks.push_back(std::move(check));
  checks.push_back(check_cache());
  checks.push_back(check_hub());
  Json all = Json::array();
  for (const Check& check : checks)
    all.push_back(
        {{"name", check.name}, {"ok", check.ok}, {"found", printable(check.found)}, {"advice", printable(check.advice)}});
  print(output.json ? Json{{"checks", all}}.dump(2) + "\n" : text_of(checks));
  return 0;
}

}  // namespace

void define_doctor(CLI::App& app, Action& chosen) {
  auto output = std::make_shared<OutputOptions>();
  add_output_options(app, *output);
  app.callback([&chosen, output] { chosen = [output] { return run(*output); }; });
}

}  // namespace eaq

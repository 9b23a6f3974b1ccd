// Reads the command line, runs one command, and turns what went wrong into a line and an exit code: the one place that does.
#include <cstdio>
#include <exception>
#include <new>

#include "eaq/cli/cli.h"

namespace eaq {

std::span<const Command> commands() {
  static const Command all[] = {
      {"study", "the main job: every format x model in one table (the embedded models where none is named)",
       "eaq study models/gpt2 --formats fp32,bf16,int8", define_study},
      {"profile", "time, joules and prediction impact of every site and step of a model",
       "eaq profile tiny-gpt2 --format fp32 --impact int8", define_profile},
      {"evaluate", "accuracy or perplexity of one format, and what it changed against fp32",
       "eaq evaluate tiny-distilbert --format int8 --json", define_evaluate},
      {"logits", "logits for given token ids, to check against another engine",
       "eaq logits tiny-gpt2 --ids ids.safetensors -o logits.safetensors", define_logits},
      {"tokenize", "text to token ids, or back", "eaq tokenize tiny-gpt2 'The joule is a unit of energy.'", define_tokenize},
      {"generate", "text that continues a prompt, with time per token",
       "eaq generate tiny-gpt2 'The history of' --max-new-tokens 32", define_generate},
      {"inspect", "sites, parameters, bytes per format, operations and traffic per token; checks every tensor",
       "eaq inspect tiny-distilbert", define_inspect},
      {"measure", "the energy of any command, as `time` tells its time", "eaq measure --repeat 5 -- python3 train.py",
       define_measure},
      {"compare", "two results: each difference with its interval and a verdict",
       "eaq compare before/study.json after/study.json --fail-over 2", define_compare},
      {"report", "one page of results: tables and charts in a file that opens offline",
       "eaq report study-2026-11-24 -o page.html --price 0.25 --carbon 380", define_report},
      {"fetch", "a model from the Hugging Face hub, resumed and checked by hash, in the cache that Python reads, too",
       "eaq fetch openai-community/gpt2", define_fetch},
      {"meter", "the energy meters of this machine, and why the others are missing", "eaq meter", define_meter},
      {"doctor", "what was found here (processor, devices, meters, files) and what to do about what is missing", "eaq doctor",
       define_doctor},
  };
  return all;
}

namespace {

std::string command_names() {
  std::string names;
  for (const Command& command : commands()) names += (names.empty() ? "" : ", ") + std::string(command.name);
  return names;
}

void say(const std::string& message) { std::fprintf(stderr, "eaq: %s\n", message.c_str()); }

bool is_known(std::string_view name) {
  for (const Command& command : commands())
    if (command.name == name) return true;
  return false;
}

Error usage_error(const CLI::App& app, const CLI::ParseError& error) {
  std::string path = "eaq";
  for (const CLI::App* chosen : app.get_subcommands()) path += " " + chosen->get_name();
  return {ErrorKind::usage, printable(error.what()) + " (`" + path + " --help` lists what there is)"};
}

bool measures(int count, char** arguments) { return count > 1 && std::string_view(arguments[1]) == "measure"; }

// `eaq measure` passes its command's exit code on. What goes wrong with itself has a code that few commands have: 125, as with
// `env`.
int exit_code(ErrorKind kind, bool measuring) {
  return measuring && kind != ErrorKind::interrupted ? 125 : static_cast<int>(kind);
}

// An option's value by its name alone: what it may be is said in words beside it.
class HelpFormat : public CLI::Formatter {
 public:
  std::string make_option_opts(const CLI::Option* option) const override {
    if (option->get_type_size() == 0) return "";
    std::string text = option->get_type_name();
    // What follows is a validator's own description, but KIND[:ARG] is one name.
    for (std::size_t colon = text.find(':'); colon != std::string::npos; colon = text.find(':', colon + 1))
      if (colon > 0 && text[colon - 1] != '[') text.resize(colon);
    text = text.empty() ? "" : " " + text;
    // What an option without its value means is no default.
    return option->get_default_str().empty() || option->get_expected_min() == 0 ? text : text + " = " + option->get_default_str();
  }
};

int help(const CLI::App& app) {
  print(app.get_parent() == nullptr ? app.help() : app.help("eaq"));
  return 0;
}

// The parsed command's own help where one was named.
const CLI::App& innermost(const CLI::App& app) {
  const auto chosen = app.get_subcommands();
  return chosen.empty() ? app : *chosen.front();
}

int run(int count, char** arguments) {
  CLI::App app("eaq: which numeric format costs the fewest joules per inference here, and are the answers still as good?", "eaq");
  app.set_version_flag("--version", std::string("eaq ") + std::string(version()) + " (" + std::string(commit()) + ")");
  app.require_subcommand(1);
  const auto format = std::make_shared<HelpFormat>();
  format->column_width(28);
  app.formatter(format);
  app.footer("`eaq COMMAND --help` explains one command, with an example.");
  Action chosen;
  for (const Command& command : commands()) {
    CLI::App* sub = app.add_subcommand(std::string(command.name), std::string(command.summary));
    sub->footer("Example:\n  " + std::string(command.example));
    command.define(*sub, chosen);
  }
  if (count > 1 && arguments[1][0] != '-' && !is_known(arguments[1])) {
    say("'" + printable(arguments[1]) + "' is no command; there are: " + command_names());
    return static_cast<int>(ErrorKind::usage);
  }
  if (measures(count, arguments)) count = keep_measured_command(count, arguments);
  try {
    app.parse(count, arguments);
  } catch (const CLI::CallForHelp&) {
    return help(innermost(app));
  } catch (const CLI::CallForAllHelp&) {
    return help(app);
  } catch (const CLI::CallForVersion& version_text) {
    print(std::string(version_text.what()) + "\n");
    return 0;
  } catch (const CLI::ParseError& error) {
    if (count == 1) {
      std::fputs(app.help().c_str(), stderr);
      return static_cast<int>(ErrorKind::usage);
    }
    throw usage_error(app, error);
  }
  return chosen();
}

int guarded(int count, char** arguments) {
  const bool measuring = measures(count, arguments);
  try {
    prepare_standard_streams();
    set_command_line({arguments, arguments + count});
    return run(count, arguments);
  } catch (const Error& error) {
    say(error.what());
    return exit_code(error.kind(), measuring);
  } catch (const std::bad_alloc&) {
    say("not enough memory for this model, batch and length; smaller ones (--batch, --seq, --limit), or fewer formats at once, "
        "need less");
    return exit_code(ErrorKind::unavailable, measuring);
  } catch (const std::exception& error) {
    say(std::string("this is a bug in eaq: ") + printable(error.what()));
    return exit_code(ErrorKind::bug, measuring);
  } catch (...) {
    say("this is a bug in eaq: an exception of unknown type");
    return exit_code(ErrorKind::bug, measuring);
  }
}

}  // namespace
}  // namespace eaq

int main(int count, char** arguments) { return eaq::guarded(count, arguments); }

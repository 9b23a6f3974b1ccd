#include "eaq/report/style.h"

#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <string_view>

#include "eaq/report/report.h"

namespace eaq {
namespace {

std::atomic<bool> coloured = false;

std::string set_off(const char* code, const std::string& text) {
  return coloured && !text.empty() ? "\x1b[" + std::string(code) + "m" + text + "\x1b[0m" : text;
}

std::string_view variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

}  // namespace

bool shows_colours(int stream) {
  return ::isatty(stream) == 1 && variable("NO_COLOR").empty() && variable("TERM") != "dumb" && !variable("TERM").empty();
}
void colour_screens(bool on) { coloured = on; }
bool screens_are_coloured() { return coloured; }

std::string bold(const std::string& text) { return set_off("1", text); }
std::string dim(const std::string& text) { return set_off("2", text); }
std::string good(const std::string& text) { return set_off("32", text); }
std::string bad(const std::string& text) { return set_off("31", text); }

}  // namespace eaq

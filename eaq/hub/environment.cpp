// What the environment says, by the names that huggingface_hub has for it.
#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "eaq/hub/hub.h"

namespace eaq {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::filesystem::path home() { return variable("HOME"); }

// "~/models" as a shell would have it.
std::filesystem::path path_of(const std::string& text) {
  if (text == "~") return home();
  return text.starts_with("~/") ? home() / text.substr(2) : std::filesystem::path(text);
}

bool is_true(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text == "1" || text == "ON" || text == "YES" || text == "TRUE";
}

std::string trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return "";
  return std::string(text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1));
}

std::filesystem::path hub_home() {
  if (const std::string text = variable("HF_HOME"); !text.empty()) return path_of(text);
  if (const std::string text = variable("XDG_CACHE_HOME"); !text.empty()) return path_of(text) / "huggingface";
  return home().empty() ? std::filesystem::path() : home() / ".cache" / "huggingface";
}

std::filesystem::path hub_cache() {
  for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"})
    if (const std::string text = variable(name); !text.empty()) return path_of(text);
  return hub_home().empty() ? std::filesystem::path() : hub_home() / "hub";
}

std::string stored_token() {
  const std::string named = variable("HF_TOKEN_PATH");
  const std::filesystem::path path = named.empty() ? hub_home() / "token" : path_of(named);
  std::error_code error;
  return std::filesystem::is_regular_file(path, error) ? trimmed(read_text(path, 1 << 16)) : "";
}

// A token goes into a header: what would end that is no token.
void check(const std::string& token) {
  if (std::any_of(token.begin(), token.end(), [](unsigned char c) { return c <= 0x20 || c >= 0x7F; }))
    throw Error(ErrorKind::usage, "HF_TOKEN, or the stored token, has characters that no token has");
}

}  // namespace

HubOptions hub_options_from_environment() {
  HubOptions options;
  if (std::string endpoint = trimmed(variable("HF_ENDPOINT")); !endpoint.empty()) options.endpoint = std::move(endpoint);
  while (options.endpoint.ends_with('/')) options.endpoint.pop_back();
  if (!is_true(variable("HF_HUB_DISABLE_IMPLICIT_TOKEN"))) {
    options.token = trimmed(variable("HF_TOKEN"));
    if (options.token.empty()) options.token = stored_token();
  }
  check(options.token);
  options.cache = hub_cache();
  options.offline = is_true(variable("HF_HUB_OFFLINE")) || is_true(variable("TRANSFORMERS_OFFLINE"));
  return options;
}

}  // namespace eaq

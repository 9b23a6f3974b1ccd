// Names of repositories: what a hub takes, and nothing that could leave the cache.
#include <algorithm>

#include "eaq/hub/hub.h"

namespace eaq {
namespace {

constexpr std::string_view scheme = "hf:";
constexpr std::size_t longest_id = 96, longest_revision = 255;

[[noreturn]] void refuse(std::string_view text, const std::string& why) {
  throw Error(ErrorKind::usage, "'" + printable(text) + "' names no repository: " + why +
                                    " (owner/name, e.g. openai-community/gpt2, or owner/name@revision)");
}

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

bool is_edge(char c) { return c == '-' || c == '.'; }

std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> parts;
  for (std::size_t slash; (slash = text.find('/')) != std::string_view::npos; text.remove_prefix(slash + 1))
    parts.push_back(text.substr(0, slash));
  parts.push_back(text);
  return parts;
}

void check_id(std::string_view text, std::string_view id) {
  if (id.empty()) refuse(text, "it is empty");
  if (id.size() > longest_id) refuse(text, "it is longer than " + std::to_string(longest_id) + " characters");
  const auto parts = split(id);
  if (parts.size() > 2) refuse(text, "it has more than one '/'");
  for (const std::string_view part : parts) {
    if (part.empty()) refuse(text, "a part of it is empty");
    if (!std::all_of(part.begin(), part.end(), is_name_character))
      refuse(text, "letters, digits, '-', '_' and '.' are all there may be");
    if (is_edge(part.front()) || is_edge(part.back())) refuse(text, "no part of it begins or ends with '-' or '.'");
  }
  if (id.find("--") != std::string_view::npos || id.find("..") != std::string_view::npos)
    refuse(text, "it has '--' or '..' in it");
  if (id.ends_with(".git")) refuse(text, "it ends with '.git'");
}

// A revision becomes a file's path below refs/. Names of git: no control characters, none of " ~^:?*[\".
void check_revision(std::string_view text, std::string_view revision) {
  if (revision.empty() || revision.size() > longest_revision) refuse(text, "its revision is empty or too long");
  for (const char c : revision)
    if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7F || std::string_view("~^:?*[\\").find(c) != std::string_view::npos)
      refuse(text, "no revision has such characters");
  if (!is_utf8(revision)) refuse(text, "its revision is not UTF-8");
  for (const std::string_view part : split(revision))
    if (part.empty() || part.front() == '.' || part.find("..") != std::string_view::npos)
      refuse(text, "no revision has such a part");
}

}  // namespace

bool HubName::is_commit() const {
  return revision.size() == 40 &&
         std::all_of(revision.begin(), revision.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

HubName parse_hub_name(std::string_view text) {
  const std::size_t at = text.find('@');
  HubName name;
  name.id = text.substr(0, at);
  check_id(text, name.id);
  if (at != std::string_view::npos) name.revision = text.substr(at + 1);
  check_revision(text, name.revision);
  return name;
}

bool is_hub_model(std::string_view model) { return model.starts_with(scheme); }

HubName hub_name_of(std::string_view model) {
  if (!is_hub_model(model)) refuse(model, "it does not begin with hf:");
  return parse_hub_name(model.substr(scheme.size()));
}

}  // namespace eaq

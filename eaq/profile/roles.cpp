#include "eaq/profile/roles.h"

#include <algorithm>
#include <array>
#include <string>

#include "eaq/profile/findings.h"

namespace eaq {
namespace {

bool names_one_of(std::string_view name, std::initializer_list<std::string_view> words) {
  return std::any_of(words.begin(), words.end(), [&](std::string_view word) { return name.find(word) != name.npos; });
}

}  // namespace

std::string_view name_of(Role role) {
  constexpr std::array<std::string_view, 7> names{"embeddings", "attention", "feed-forward", "norms",
                                                  "residuals",  "head",      "other"};
  return names[static_cast<std::size_t>(role)];
}

Role role_of(const SiteRecord& row) {
  if (row.kind == "embedding") return Role::embeddings;
  if (row.kind == "attention") return Role::attention;
  if (row.kind == "norm") return Role::norms;
  if (row.kind == "residual") return Role::residuals;
  if (row.kind == "head") return Role::head;
  if (names_one_of(row.site, {"attn", "attention"})) return Role::attention;
  if (names_one_of(row.site, {"mlp", "ffn", "feed_forward", "intermediate"})) return Role::feed_forward;
  return Role::other;
}

std::string group_of(std::string_view site) {
  std::string group;
  for (std::size_t begin = 0; begin <= site.size();) {
    const std::size_t end = std::min(site.find('.', begin), site.size());
    const std::string_view part = site.substr(begin, end - begin);
    const bool number = !part.empty() && part.find_first_not_of("0123456789") == part.npos;
    group += (begin == 0 ? "" : ".") + std::string(number ? "*" : part);
    begin = end + 1;
  }
  return group;
}

}  // namespace eaq

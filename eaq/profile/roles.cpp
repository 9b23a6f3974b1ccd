#include "eaq/profile/roles.h"

#include <algorithm>
#include <array>

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

const std::optional<Figure>& joules_of(const SiteRecord& row) { return row.mJ ? row.mJ : row.mJ_in_place; }

}  // namespace eaq

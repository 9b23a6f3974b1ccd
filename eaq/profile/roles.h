// What the rows of a profile are in a transformer, whichever family it is of; for the files of this folder.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "eaq/result/result.h"

namespace eaq {

enum class Role { embeddings, attention, feed_forward, norms, residuals, head, other };
std::string_view name_of(Role role);
/// By the kind of step; of a linear layer or an activation by its name.
Role role_of(const SiteRecord& row);

/// By loops; where they were not run, in place.
const std::optional<Figure>& joules_of(const SiteRecord& row);

using Rows = std::vector<const SiteRecord*>;

}  // namespace eaq

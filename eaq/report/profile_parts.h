// A profile's rows as tables before they have a form; for the files of this folder.
#pragma once

#include <string>
#include <vector>

#include "eaq/report/table.h"
#include "eaq/result/result.h"

namespace eaq {

/// What has no row, and why.
inline constexpr const char* steps_within_steps =
    "Softmax is within attention, which is one step; dropout is the identity at inference, and no step.";

inline constexpr const char* without_fusions =
    "Every step runs by itself (--no-fusions), for joules of its own: a study's program fuses them, and takes less.";

/// The rows that stand at one place in every layer.
struct PartGroup {
  std::string name;   ///< "transformer.h.*.mlp.c_fc"
  std::string label;  ///< "*.mlp.c_fc", where no other group is called so
  std::vector<const SiteRecord*> rows;
};
std::vector<PartGroup> part_groups(const Profile& profile);

/// A row's joules by loops, or in place where there are none.
const std::optional<Figure>& best_joules(const SiteRecord& row);
bool has_joules(const Profile& profile);
/// The sum over the rows that have the figure, with half-widths in quadrature; nothing where none has.
std::optional<Figure> sum_over(const std::vector<const SiteRecord*>& rows, std::optional<Figure> SiteRecord::*figure);
double share_of(const PartGroup& group);
/// A sentence on what time share x mean power gets wrong: it adds up to the whole by construction, so where it puts the joules.
/// Empty where there are no joules, or none certain enough, to hold against it.
std::string time_share_error(const Profile& profile);
/// A sentence on how many rows' joules by loops and in place lie within both intervals of each other; empty where no row has
/// both.
std::string agreement_of_ways(const Profile& profile);
/// "fp16", "int8": whatever some row's impact is known in.
std::vector<std::string> impact_formats(const Profile& profile);

/// Time, joules by each way, what time shares would say, and shares; one line per group, with a sparkline over its layers.
TableText group_table(const Profile& profile);
/// The most expensive rows, dearest first.
TableText dearest_table(const Profile& profile, std::size_t count);
/// Mean KL over the sites of a group, per format and ablated.
TableText impact_table(const Profile& profile);
/// Every row with everything, for Markdown.
TableText row_table(const Profile& profile);

}  // namespace eaq

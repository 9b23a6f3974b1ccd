#include "eaq/report/profile_parts.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <set>

#include "eaq/report/numbers.h"
#include "eaq/report/text.h"

namespace eaq {
namespace {

using SiteRows = std::vector<const SiteRecord*>;

// What is left of a name when the path to the layers is dropped: "*.mlp.c_fc", "3.mlp.c_fc", "embeddings.LayerNorm".
std::string short_name(const std::string& name) {
  for (std::size_t begin = 0; begin < name.size();) {
    const std::size_t end = std::min(name.find('.', begin), name.size());
    const std::string part = name.substr(begin, end - begin);
    if (part == "*" || part.find_first_not_of("0123456789") == std::string::npos) return name.substr(begin);
    begin = end + 1;
  }
  const std::size_t last = name.rfind('.');
  if (last == std::string::npos || last == 0) return name;
  const std::size_t before = name.rfind('.', last - 1);
  return before == std::string::npos ? name : name.substr(before + 1);
}

// Cells from columns: those that say nothing in any row are left out.
struct PartColumn {
  std::string head;
  std::function<std::string(const PartGroup&)> cell;
};

TableText table_from(const std::vector<PartGroup>& parts, const std::vector<PartColumn>& all) {
  TableText table;
  table.rows.resize(parts.size());
  for (const PartColumn& column : all) {
    std::vector<std::string> cells;
    cells.reserve(parts.size());
    for (const PartGroup& part : parts) cells.push_back(column.cell(part));
    if (std::all_of(cells.begin(), cells.end(), [](const std::string& c) { return c.empty(); })) continue;
    table.header.push_back(column.head);
    for (std::size_t i = 0; i < parts.size(); ++i) table.rows[i].push_back(cells[i]);
  }
  return table;
}

bool fits(const TableText& table) { return width_of(table) <= screen_width + table.header.size() - 1; }

std::string figure_cell(const std::optional<Figure>& f) { return f ? with_margin(*f) : ""; }

std::vector<double> means_of(const SiteRows& rows, const std::function<std::optional<double>(const SiteRecord&)>& of) {
  std::vector<double> values;
  for (const SiteRecord* row : rows)
    if (const auto value = of(*row)) values.push_back(*value);
  return values;
}

std::string layers_cell(const PartGroup& part, const std::function<std::optional<double>(const SiteRecord&)>& of) {
  const std::vector<double> values = means_of(part.rows, of);
  return values.size() > 1 ? sparkline(values) : "";
}

// Joules where there are some, else time: what shares are of.
std::optional<double> cost_of(const SiteRecord& row) {
  const std::optional<Figure>& best = best_joules(row) ? best_joules(row) : row.time_ms;
  return best ? std::optional(best->mean) : std::nullopt;
}

std::string by_time_cell(const PartGroup& part) {
  double said = 0, is = 0;
  for (const SiteRecord* row : part.rows)
    if (row->mJ_time_share && best_joules(*row)) said += *row->mJ_time_share, is += best_joules(*row)->mean;
  if (!(is > 0)) return "";
  char error[32];
  std::snprintf(error, sizeof error, " (%+.0f %%)", (said / is - 1) * 100);
  return short_number(said) + error;
}

std::string share_cell(const PartGroup& part, double largest, std::size_t width) {
  const double share = share_of(part);
  if (share <= 0) return "";
  std::string text = with_decimals(share * 100, 1);
  text.insert(0, text.size() < 4 ? 4 - text.size() : 0, ' ');
  return text + (width > 0 ? " " + bar(share / largest, width) : "");
}

std::string bounds_cell(const PartGroup& part) {
  std::set<std::string> bounds;
  for (const SiteRecord* row : part.rows)
    if (!row->bound_by.empty()) bounds.insert(row->bound_by);
  std::string text;
  for (const std::string& bound : bounds) text += (text.empty() ? "" : ", ") + bound;
  return text;
}

TableText costs(const std::vector<PartGroup>& parts, std::size_t bar_width, bool layers) {
  double largest = 1e-12;
  for (const PartGroup& part : parts) largest = std::max(largest, share_of(part));
  const auto sum = [](std::optional<Figure> SiteRecord::*figure) {
    return [figure](const PartGroup& part) { return figure_cell(sum_over(part.rows, figure)); };
  };
  const bool several = std::any_of(parts.begin(), parts.end(), [](const PartGroup& p) { return p.rows.size() > 1; });
  std::vector<PartColumn> columns{{"part", [](const PartGroup& part) { return part.label; }}};
  if (several) columns.push_back({"n", [](const PartGroup& part) { return std::to_string(part.rows.size()); }});
  columns.push_back({"ms", sum(&SiteRecord::time_ms)});
  columns.push_back({"mJ", sum(&SiteRecord::mJ)});
  columns.push_back({"mJ in place", sum(&SiteRecord::mJ_in_place)});
  columns.push_back({"by time", by_time_cell});
  columns.push_back({"share %", [=](const PartGroup& part) { return share_cell(part, largest, bar_width); }});
  if (layers) columns.push_back({"over layers", [](const PartGroup& part) { return layers_cell(part, cost_of); }});
  if (!several) columns.push_back({"bound by", bounds_cell});
  return table_from(parts, columns);
}

// Names that would break any table keep their ends, which tell them apart.
std::vector<PartGroup> cut(std::vector<PartGroup> parts) {
  for (PartGroup& part : parts)
    if (columns(part.label) > 30) part.label = "…" + part.label.substr(part.label.size() - 29);
  return parts;
}

// The widest form that keeps to the screen.
TableText fitted(const std::vector<PartGroup>& parts) {
  for (const auto& [width, layers] : {std::pair<std::size_t, bool>{10, true}, {6, true}, {0, true}, {6, false}, {0, false}})
    if (TableText table = costs(parts, width, layers); fits(table)) return table;
  return costs(cut(parts), 0, false);
}

// Rows that are one step with another have nothing of their own to show.
std::vector<PartGroup> weighed(std::vector<PartGroup> parts) {
  for (PartGroup& part : parts) std::erase_if(part.rows, [](const SiteRecord* row) { return !cost_of(*row); });
  std::erase_if(parts, [](const PartGroup& part) { return part.rows.empty(); });
  return parts;
}

std::string nats(double kl) { return std::abs(kl) < 0.01 || !std::isfinite(kl) ? small_number(kl) : short_number(kl); }

std::string kl_text(const ImpactRecord& impact) {
  std::string text = nats(impact.kl.mean);
  if (impact.kl.ci95) text += " [" + nats(impact.kl.ci95->first) + "," + nats(impact.kl.ci95->second) + "]";
  return text;
}

const ImpactRecord* impact_in(const SiteRecord& row, const std::string& format) {
  if (format.empty()) return row.ablation ? &*row.ablation : nullptr;
  const auto found = row.impact.find(format);
  return found != row.impact.end() ? &found->second : nullptr;
}

std::string head_of(const Profile& profile, const std::string& format) {
  if (format.empty()) return "ablated";
  const bool emulated = std::any_of(profile.sites.begin(), profile.sites.end(), [&](const SiteRecord& row) {
    const ImpactRecord* impact = impact_in(row, format);
    return impact != nullptr && impact->emulated;
  });
  return format + (emulated ? " ~" : "");
}

}  // namespace

const std::optional<Figure>& best_joules(const SiteRecord& row) { return row.mJ ? row.mJ : row.mJ_in_place; }

bool has_joules(const Profile& profile) {
  return std::any_of(profile.sites.begin(), profile.sites.end(), [](const SiteRecord& s) { return best_joules(s).has_value(); });
}

std::string time_share_error(const Profile& profile) {
  double said = 0, is = 0;
  for (const SiteRecord& row : profile.sites)
    if (row.mJ_time_share && best_joules(row)) said += *row.mJ_time_share, is += best_joules(row)->mean;
  if (!(said > 0) || !(is > 0)) return {};
  double moved = 0, worst = 0;
  std::string where;
  for (const PartGroup& part : part_groups(profile)) {
    double here = 0, truth = 0;
    for (const SiteRecord* row : part.rows)
      if (row->mJ_time_share && best_joules(*row)) here += *row->mJ_time_share / said, truth += best_joules(*row)->mean / is;
    moved += std::abs(here - truth) / 2;
    if (truth > 0.01 && std::abs(here / truth - 1) > std::abs(worst)) worst = here / truth - 1, where = part.label;
  }
  if (moved > 1) return {};  // parts below 0: the joules are too uncertain to hold anything against
  return "Time share x mean power (the original study's way) puts " + with_decimals(moved * 100, 1) +
         " % of the joules in the wrong parts" + (where.empty() ? "" : "; worst " + where + ", " + signed_percent(worst) + " %") +
         ".";
}

std::string agreement_of_ways(const Profile& profile) {
  int both = 0, agree = 0;
  const auto half = [](const Figure& f) { return (f.ci95->second - f.ci95->first) / 2; };
  for (const SiteRecord& row : profile.sites) {
    if (!row.mJ || !row.mJ_in_place || !row.mJ->ci95 || !row.mJ_in_place->ci95) continue;
    ++both;
    if (std::abs(row.mJ->mean - row.mJ_in_place->mean) <= std::hypot(half(*row.mJ), half(*row.mJ_in_place))) ++agree;
  }
  if (both == 0) return {};
  constexpr double expected = 0.95, clearly_fewer = 0.88;
  return "Loops and in place agree, within both intervals, in " + std::to_string(agree) + " of " + std::to_string(both) +
         " parts" +
         (agree < clearly_fewer * both ? " (" + with_decimals(100 * expected, 0) +
                                             " % would if visits' scatter were all that tells them apart, so single parts are "
                                             "known less well than they say)."
                                       : ".");
}

std::vector<PartGroup> part_groups(const Profile& profile) {
  std::vector<PartGroup> groups;
  for (const SiteRecord& row : profile.sites) {
    const std::string name = group_of(row.site);
    auto group = std::find_if(groups.begin(), groups.end(), [&](const PartGroup& g) { return g.name == name; });
    if (group == groups.end()) group = groups.insert(groups.end(), {name, short_name(name), {}});
    group->rows.push_back(&row);
  }
  std::map<std::string, int> called;
  for (const PartGroup& g : groups) ++called[g.label];
  for (PartGroup& g : groups)
    if (called[g.label] > 1) g.label = g.name;
  return groups;
}

std::optional<Figure> sum_over(const SiteRows& rows, std::optional<Figure> SiteRecord::*figure) {
  std::optional<Figure> sum;
  double squares = 0;
  bool bounded = true;
  for (const SiteRecord* row : rows) {
    const std::optional<Figure>& one = row->*figure;
    if (!one) continue;
    if (!sum) sum.emplace();
    sum->mean += one->mean;
    bounded = bounded && one->ci95;
    if (one->ci95) squares += std::pow((one->ci95->second - one->ci95->first) / 2, 2);
  }
  const double half = std::sqrt(squares);
  if (sum && bounded && std::isfinite(half)) sum->ci95 = {sum->mean - half, sum->mean + half};
  return sum;
}

double share_of(const PartGroup& group) {
  double share = 0;
  for (const SiteRecord* row : group.rows) share += row->share.value_or(0);
  return share;
}

std::vector<std::string> impact_formats(const Profile& profile) {
  std::set<std::string> formats;
  for (const SiteRecord& row : profile.sites)
    for (const auto& [format, impact] : row.impact) formats.insert(format);
  return {formats.begin(), formats.end()};
}

TableText group_table(const Profile& profile) { return fitted(weighed(part_groups(profile))); }

TableText dearest_table(const Profile& profile, std::size_t count) {
  std::vector<PartGroup> rows;
  for (const SiteRecord& row : profile.sites)
    if (cost_of(row)) rows.push_back({row.site, short_name(row.site), {&row}});
  std::stable_sort(rows.begin(), rows.end(),
                   [](const PartGroup& a, const PartGroup& b) { return *cost_of(*a.rows[0]) > *cost_of(*b.rows[0]); });
  if (rows.size() > count) rows.resize(count);
  return fitted(rows);
}

TableText impact_table(const Profile& profile) {
  std::vector<std::string> formats = impact_formats(profile);
  formats.emplace_back();  // ablated
  std::vector<PartGroup> parts = part_groups(profile);
  std::erase_if(parts, [&](const PartGroup& part) {
    return std::none_of(part.rows.begin(), part.rows.end(),
                        [](const SiteRecord* row) { return !row->impact.empty() || row->ablation; });
  });
  if (parts.empty()) return {};
  const auto kl_in = [](const std::string& format) {
    return [format](const SiteRecord& row) -> std::optional<double> {
      const ImpactRecord* impact = impact_in(row, format);
      return impact != nullptr ? std::optional(impact->kl.mean) : std::nullopt;
    };
  };
  std::vector<PartColumn> all{{"part", [](const PartGroup& part) { return part.label; }}};
  for (const std::string& format : formats)
    all.push_back({head_of(profile, format), [=](const PartGroup& part) {
                     const std::vector<double> values = means_of(part.rows, kl_in(format));
                     double sum = 0;
                     for (const double v : values) sum += v;
                     return values.empty() ? std::string() : nats(sum / static_cast<double>(values.size()));
                   }});
  TableText table = table_from(parts, all);
  if (!fits(table)) table = table_from(parts = cut(parts), all);
  const bool ablated =
      std::any_of(profile.sites.begin(), profile.sites.end(), [](const SiteRecord& s) { return s.ablation.has_value(); });
  const std::string drawn = ablated || formats.size() < 2 ? "" : formats[formats.size() - 2];
  all.push_back({ablated ? "ablated, over layers" : drawn + ", over layers",
                 [=](const PartGroup& part) { return layers_cell(part, kl_in(drawn)); }});
  if (TableText wide = table_from(parts, all); fits(wide)) table = std::move(wide);
  return table;
}

TableText row_table(const Profile& profile) {
  std::vector<PartGroup> rows;
  for (const SiteRecord& row : profile.sites) rows.push_back({row.site, row.site, {&row}});
  const auto text = [](auto of) { return [of](const PartGroup& part) { return std::string(of(*part.rows[0])); }; };
  std::vector<PartColumn> columns{
      {"part", text([](const SiteRecord& r) { return r.site; })},
      {"kind", text([](const SiteRecord& r) { return r.kind; })},
      {"format", text([](const SiteRecord& r) { return r.format; })},
      {"parameters",
       text([](const SiteRecord& r) { return r.parameters > 0 ? with_thousands(static_cast<double>(r.parameters)) : ""; })},
      {"MiB moved", text([](const SiteRecord& r) { return r.bytes > 0 ? short_number(r.bytes / 1048576) : ""; })},
      {"Gflop", text([](const SiteRecord& r) { return r.flops > 0 ? short_number(r.flops * 1e-9) : ""; })},
      {"ms", text([](const SiteRecord& r) { return figure_cell(r.time_ms); })},
      {"mJ", text([](const SiteRecord& r) { return figure_cell(r.mJ); })},
      {"mJ in place", text([](const SiteRecord& r) { return figure_cell(r.mJ_in_place); })},
      {"by time", by_time_cell},
      {"share %", text([](const SiteRecord& r) { return r.share ? with_decimals(*r.share * 100, 2) : ""; })},
      {"bound by", text([](const SiteRecord& r) { return r.bound_by; })}};
  std::vector<std::string> formats = impact_formats(profile);
  formats.emplace_back();
  for (const std::string& format : formats)
    columns.push_back({"KL " + head_of(profile, format), text([format](const SiteRecord& r) {
                         const ImpactRecord* impact = impact_in(r, format);
                         return impact != nullptr ? kl_text(*impact) : std::string();
                       })});
  columns.push_back({"one step with", text([](const SiteRecord& r) { return r.fused_into; })});
  return table_from(rows, columns);
}

}  // namespace eaq

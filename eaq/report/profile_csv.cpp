#include "eaq/report/profile_parts.h"
#include "eaq/report/report.h"
#include "eaq/report/text.h"

namespace eaq {
namespace {

void add_head(CsvRow& head, const std::string& name) {
  for (const char* end : {"", "_low", "_high"}) head.add(name + end);
}

void add_impact(CsvRow& line, const ImpactRecord* impact) {
  const auto figure = [](const std::optional<Figure>& f) { return f ? &*f : nullptr; };
  line.add(impact != nullptr ? std::to_string(impact->n) : "");
  line.figure(impact != nullptr ? &impact->kl : nullptr);
  line.add(impact != nullptr ? std::to_string(impact->flips) : "");
  line.figure(impact != nullptr ? figure(impact->delta_nll) : nullptr);
  line.figure(impact != nullptr ? figure(impact->accuracy_delta) : nullptr);
}

}  // namespace

std::string csv_sites(const Profile& profile) {
  std::vector<std::string> formats = impact_formats(profile);
  CsvRow head;
  for (const char* name : {"site", "kind", "format", "fused_into", "parameters", "bytes", "flops"}) head.add(name);
  for (const char* name : {"time_ms", "mJ", "mJ_in_place"}) add_head(head, name);
  for (const char* name : {"mJ_time_share", "share", "bound_by"}) head.add(name);
  formats.emplace_back("ablated");
  for (const std::string& format : formats) {
    head.add("n_" + format);
    add_head(head, "kl_" + format);
    head.add("flips_" + format);
    add_head(head, "delta_nll_" + format);
    add_head(head, "accuracy_delta_" + format);
  }
  formats.pop_back();
  std::string text = head.text();
  for (const SiteRecord& row : profile.sites) {
    CsvRow line;
    for (const std::string& cell : {row.site, row.kind, row.format, row.fused_into}) line.add(cell);
    line.add(std::to_string(row.parameters));
    line.add(full(row.bytes));
    line.add(full(row.flops));
    for (const auto* figure : {&row.time_ms, &row.mJ, &row.mJ_in_place}) line.figure(*figure ? &**figure : nullptr);
    line.add(full(row.mJ_time_share));
    line.add(full(row.share));
    line.add(row.bound_by);
    for (const std::string& format : formats) {
      const auto found = row.impact.find(format);
      add_impact(line, found != row.impact.end() ? &found->second : nullptr);
    }
    add_impact(line, row.ablation ? &*row.ablation : nullptr);
    text += line.text();
  }
  return text;
}

}  // namespace eaq

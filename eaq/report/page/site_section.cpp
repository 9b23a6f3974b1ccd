#include <algorithm>
#include <cmath>

#include "eaq/report/numbers.h"
#include "eaq/report/page/charts.h"
#include "eaq/report/page/sections.h"
#include "eaq/report/profile_parts.h"

namespace eaq::page {
namespace {

std::string per_cent(const Figure& figure) {
  std::string text = with_decimals(100 * figure.mean, 1) + " %";
  if (figure.ci95)
    text += " [" + with_decimals(100 * figure.ci95->first, 1) + ", " + with_decimals(100 * figure.ci95->second, 1) + "]";
  return text;
}

PageCell impact_cell(const ImpactRecord* impact) {
  if (impact == nullptr) return "";
  std::string text = small_number(impact->kl.mean);
  if (impact->kl.ci95) text += " [" + small_number(impact->kl.ci95->first) + ", " + small_number(impact->kl.ci95->second) + "]";
  return {text + (impact->emulated ? " ~" : ""), impact->kl.mean};
}

PageCell positive(double value) { return value > 0 ? PageCell(with_thousands(value), value) : PageCell(""); }

PageTable sites_table(const Profile& profile) {
  const std::vector<std::string> formats = impact_formats(profile);
  PageTable table{"Sites and other steps of " + profile.run.model + " in " + profile.run.format + ", per run of a batch",
                  {"site", "kind", "format", "ms", "mJ (loops)", "mJ in place", "mJ by time share", "share %", "bound by"},
                  {},
                  {}};
  for (const std::string& format : formats) table.header.push_back("KL " + format);
  for (const char* name : {"KL ablated", "parameters", "bytes", "flops", "notes"}) table.header.emplace_back(name);
  bool emulated = false;
  for (const SiteRecord& s : profile.sites) {
    std::string notes = s.fused_into.empty() ? "" : "one step with " + s.fused_into + ", where its time and joules stand";
    for (const std::string& note : s.notes) notes += (notes.empty() ? "" : "; ") + note;
    auto& row = table.rows.emplace_back();
    row = {s.site,
           s.kind,
           s.format,
           figure_cell(s.time_ms),
           figure_cell(s.mJ),
           figure_cell(s.mJ_in_place),
           number_cell(s.mJ_time_share),
           s.share ? PageCell(with_decimals(100 * *s.share, 1), *s.share) : PageCell(""),
           s.bound_by};
    for (const std::string& format : formats) {
      const auto impact = s.impact.find(format);
      row.push_back(impact_cell(impact == s.impact.end() ? nullptr : &impact->second));
      emulated = emulated || (impact != s.impact.end() && impact->second.emulated);
    }
    row.push_back(impact_cell(s.ablation ? &*s.ablation : nullptr));
    for (const double value : {static_cast<double>(s.parameters), s.bytes, s.flops}) row.push_back(positive(value));
    row.emplace_back(notes);
  }
  table.notes.emplace_back(
      "Loops: one step at a time runs again and again within the whole program, over copies of its weights. In place: whole runs "
      "in "
      "which a random half of the steps is doubled. By time share: the usual baseline, its part of the time of the whole model's "
      "joules. Intervals hold 95 %.");
  table.notes.emplace_back(steps_within_steps);
  if (profile.manifest.protocol.name == "profile-unfused") table.notes.emplace_back(without_fusions);
  table.notes.emplace_back(
      "KL: KL(as it was || with this one site in that format, or without it), nats per predicted token or sentence.");
  if (emulated) table.notes.emplace_back("~ the format has no kernel here: its values, by another format's products.");
  return table;
}

PageTable effects_table(const Profile& profile) {
  PageTable table{"What each change did to the answers",
                  {"site", "changed to", "n", "KL nats", "flips", "nll, nats", "accuracy, points"},
                  {},
                  {}};
  const auto add = [&](const SiteRecord& site, const std::string& to, const ImpactRecord& i) {
    PageCell accuracy = "";
    if (i.accuracy_delta) accuracy = {per_cent(*i.accuracy_delta), i.accuracy_delta->mean};
    table.rows.push_back({site.site,
                          to,
                          {with_thousands(static_cast<double>(i.n)), static_cast<double>(i.n)},
                          impact_cell(&i),
                          {std::to_string(i.flips), static_cast<double>(i.flips)},
                          i.delta_nll ? PageCell(with_bounds(*i.delta_nll), i.delta_nll->mean) : PageCell(""),
                          accuracy});
  };
  for (const SiteRecord& site : profile.sites) {
    for (const auto& [format, impact] : site.impact) add(site, format, impact);
    if (site.ablation) add(site, "ablated", *site.ablation);
  }
  return table;
}

PageTable additivity_table(const Profile& profile) {
  PageTable table{"Do the parts add up to the whole?", {"way", "sum of the parts, mJ", "whole model, mJ", "difference"}, {}, {}};
  for (const auto& [way, a] : profile.additivity)
    table.rows.push_back({way == "in_place" ? "in place" : way,
                          figure_cell(a.sum_mJ),
                          figure_cell(a.model_mJ),
                          {per_cent(a.error), a.error.mean}});
  for (std::string note : {agreement_of_ways(profile), time_share_error(profile)})
    if (!note.empty()) table.notes.push_back(std::move(note));
  return table;
}

std::string whole_model(const Run& run) {
  std::string text = what_ran(run) + ": ";
  text += run.latency_ms ? with_margin(run.latency_ms->ms) + " ms a run" : "no time (" + run.timing_unavailable + ")";
  text += run.energy ? ", " + with_margin(run.energy->mJ_per_sample) + " mJ per " + run.unit + " (" + run.energy->meter + ", " +
                           run.energy->method + ", " + run.energy->label + ")"
                     : ", no joules: " + run.energy_unavailable;
  if (run.quality)
    text += ", " + run.quality->metric + " " + quality_text(*run.quality, true) + (run.quality->metric == "accuracy" ? " %" : "");
  return text + ".";
}

std::string roofline_words(const RooflineRecord& r) {
  std::string text =
      paragraph("Fitted to the sites: " + with_margin(r.static_W) + " W all the while, " + with_margin(r.pJ_per_flop) +
                " pJ a flop, " + with_margin(r.pJ_per_byte) + " pJ a byte; this explains " + with_decimals(100 * r.r2, 1) +
                " % of the variance of the sites' joules.");
  for (const std::string& note : r.notes) text += paragraph(note, "notes");
  return text;
}

PageTable correlations_table(const CorrelationRecord& c) {
  PageTable table{"Correlations, each pair once", {"of", "with", "Pearson", "95 %", "Spearman", "95 %", "sites"}, {}, {}};
  const auto value = [](const auto& matrix, std::size_t i, std::size_t j) -> PageCell {
    if (i >= matrix.size() || j >= matrix[i].size() || !std::isfinite(matrix[i][j])) return "";
    return {with_decimals(matrix[i][j], 2), matrix[i][j]};
  };
  const auto interval = [](const auto& matrix, std::size_t i, std::size_t j) -> PageCell {
    if (i >= matrix.size() || j >= matrix[i].size() || !std::isfinite(matrix[i][j].first)) return "";
    return "[" + with_decimals(matrix[i][j].first, 2) + ", " + with_decimals(matrix[i][j].second, 2) + "]";
  };
  for (std::size_t i = 0; i < c.names.size(); ++i)
    for (std::size_t j = i + 1; j < c.names.size(); ++j)
      table.rows.push_back({c.names[i],
                            c.names[j],
                            value(c.pearson, i, j),
                            interval(c.pearson_ci95, i, j),
                            value(c.spearman, i, j),
                            interval(c.spearman_ci95, i, j),
                            {std::to_string(c.n), static_cast<double>(c.n)}});
  return table;
}

std::string verdicts(const Profile& profile) {
  std::string text;
  if (!profile.guidelines.empty()) {
    PageTable table{"What to do, from these figures", {"sites", "format", "advice", "evidence"}, {}, {}};
    for (const GuidelineRecord& g : profile.guidelines) table.rows.push_back({g.site_group, g.format, g.advice, g.evidence});
    text += heading(3, "Guidelines") + html(table);
  }
  return text + claims_section(profile.claims);
}

std::string all_of(const std::vector<PageChart>& charts) {
  std::string text;
  for (const PageChart& chart : charts) text += html(chart);
  return text;
}

}  // namespace

std::string profile_section(const PageInput& input, const Profile& profile, const PageOptions& options) {
  std::string text;
  if (profile.interrupted) text += paragraph("Interrupted: this is what had been measured until then.", "warn");
  for (const Refused& r : profile.refused) text += paragraph("Refused: " + r.format + " (" + r.model + "): " + r.reason, "warn");
  text += paragraph(whole_model(profile.run), "finding");
  text += heading(3, "Where the joules go") + all_of(site_cost_charts(profile)) + html(sites_table(profile));
  if (!profile.additivity.empty()) text += html(additivity_table(profile));
  const std::vector<PageChart> impact = impact_charts(profile);
  const PageTable effects = effects_table(profile);
  if (!effects.rows.empty())
    text += heading(3, "What each site matters to the answers") + all_of(impact) + folded("Every change", html(effects));
  if (profile.roofline)
    text += heading(3, "Energy roofline") + roofline_words(*profile.roofline) + all_of(roofline_charts(profile));
  if (profile.correlations)
    text += heading(3, "Correlations between sites' figures") + all_of(correlation_charts(profile)) +
            folded("Every correlation", html(correlations_table(*profile.correlations)));
  text += verdicts(profile);
  if (const auto table = cost_table({&profile.run}, options)) text += heading(3, "A million inferences") + html(*table);
  return text + power_section(input);
}

}  // namespace eaq::page

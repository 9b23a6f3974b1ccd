#include <algorithm>
#include <cmath>

#include "eaq/report/numbers.h"
#include "eaq/report/page/charts.h"
#include "eaq/report/page/sections.h"
#include "eaq/report/table.h"

namespace eaq::page {
namespace {

using Runs = std::vector<const Run*>;

PageTable of_text(const TableText& source) {
  PageTable table{source.title, source.header, {}, source.notes};
  for (const auto& row : source.rows) {
    auto& cells = table.rows.emplace_back();
    for (std::size_t c = 0; c < row.size(); ++c) cells.emplace_back(row[c], c == 0 ? std::nullopt : leading_number(row[c]));
  }
  return table;
}

bool shows_difference(const Study& study, const Run& reference, const Run& run) {
  if (&run == &reference) return false;
  const Comparison* c = comparison_of(study, reference, run);
  return c != nullptr && c->p_value && *c->p_value < 0.05;
}

// The cheapest of a group, and the cheapest whose answers show no difference.
std::string finding(const Study& study, const Runs& group) {
  bool joules = false;
  std::vector<RunCost> costs = costs_of(group, joules);
  std::erase_if(costs, [](const RunCost& c) { return c.run->emulated; });  // whose cost is not the format's
  if (costs.empty()) return "";
  const Run& reference = reference_of(group);
  std::stable_sort(costs.begin(), costs.end(), [](const RunCost& a, const RunCost& b) { return a.cost.mean < b.cost.mean; });
  const auto said = [&](const RunCost& c) {
    const std::string unit = joules ? " mJ per " + c.run->unit : c.run->phase == "decode" ? " ms per step" : " ms per batch";
    std::string text = c.run->format + ", " + with_margin(c.cost) + unit;
    const Comparison* compared = c.run == &reference ? nullptr : comparison_of(study, reference, *c.run);
    const auto& ratio = compared == nullptr ? std::optional<Figure>() : joules ? compared->energy_ratio : compared->speedup;
    if (ratio) text += " (" + reference.format + (joules ? " costs " : " takes ") + ratio_text(*ratio) + ")";
    return text;
  };
  const bool all_judged = std::all_of(costs.begin(), costs.end(), [](const RunCost& c) { return c.run->quality.has_value(); });
  std::string text = (joules ? "Fewest joules: " : "Fastest: ") + said(costs.front());
  if (!all_judged) return text + ".";
  const auto same =
      std::find_if(costs.begin(), costs.end(), [&](const RunCost& c) { return !shows_difference(study, reference, *c.run); });
  if (same == costs.begin()) return text + ", with no difference in " + reference.quality->metric + " shown.";
  text += ", and its " + costs.front().run->quality->metric + " differs.";
  if (same != costs.end()) text += " Of those whose answers show no difference: " + said(*same) + ".";
  return text;
}

PageCell optional_text(const std::string& text) { return {text}; }

void energy_cells(std::vector<PageCell>& row, const Run& run) {
  if (!run.energy) {
    for (int i = 0; i < 6; ++i) row.emplace_back("");
    row.emplace_back(run.energy_unavailable);
    return;
  }
  const Energy& e = *run.energy;
  row.emplace_back(with_bounds(e.mJ_per_sample), e.mJ_per_sample.mean);
  row.push_back(e.dynamic_mJ_per_sample ? PageCell(with_bounds(*e.dynamic_mJ_per_sample), e.dynamic_mJ_per_sample->mean) : "");
  row.push_back(number_cell(e.mean_power_W));
  row.push_back(number_cell(e.idle_power_W));
  row.push_back(number_cell(e.mean_power_method_mJ));
  row.push_back(e.scale_uncertainty ? PageCell("±" + with_decimals(*e.scale_uncertainty * 100, 0) + " %", *e.scale_uncertainty)
                                    : "");
  row.emplace_back(e.meter + ", " + e.method + ", " + e.label);
}

void quality_cells(std::vector<PageCell>& row, const Run& run) {
  if (!run.quality) {
    row.emplace_back(run.quality_unavailable);
    for (int i = 0; i < 4; ++i) row.emplace_back("");
    return;
  }
  const QualityResult& q = *run.quality;
  row.emplace_back(quality_text(q, true), q.value);
  row.emplace_back(with_thousands(static_cast<double>(q.n)), static_cast<double>(q.n));
  row.emplace_back(q.kl_mean ? small_number(q.kl_mean) : "", q.kl_mean);
  row.emplace_back(q.flips ? std::to_string(*q.flips) : "",
                   q.flips ? std::optional<double>(static_cast<double>(*q.flips)) : std::nullopt);
  row.emplace_back(std::to_string(q.nan_inf), static_cast<double>(q.nan_inf));
}

std::string listed(const std::vector<std::string>& items) {
  std::string text;
  for (const std::string& item : items) text += (text.empty() ? "" : "; ") + item;
  return text;
}

// A row a figure and a column a format: a page, printed or on a phone, is higher than wide.
PageTable transposed(const PageTable& table) {
  PageTable turned{table.caption, {"figure"}, {}, table.notes, false};
  for (const auto& row : table.rows) turned.header.push_back(row.front().text);
  for (std::size_t c = 1; c < table.header.size(); ++c) {
    auto& cells = turned.rows.emplace_back();
    cells.emplace_back(table.header[c]);
    for (const auto& row : table.rows) cells.emplace_back(row[c].text);
  }
  return turned;
}

// Every figure of every run, with its bounds.
PageTable all_figures(const Runs& group) {
  const Run& first = *group.front();
  PageTable table{"Every figure of " + what_ran(first), {"format"}, {}, {}};
  for (const char* name : {"ms",      "p50",        "p90",           "p99",   "per s",       "mJ",       "mJ above idle",
                           "mean W",  "idle W",     "mean-power mJ", "scale", "energy from", "quality",  "n",
                           "KL nats", "flips",      "NaN or Inf",    "MiB",   "fp32 / size", "peak MiB", "samples",
                           "stored",  "multiplied", "throttled",     "notes", "kernels"})
    table.header.emplace_back(name);
  for (const Run* run : group) {
    auto& row = table.rows.emplace_back();
    row.emplace_back(run->format + (run->emulated ? " ~" : ""));
    if (run->latency_ms) {
      row.emplace_back(with_bounds(run->latency_ms->ms), run->latency_ms->ms.mean);
      for (const double p : {run->latency_ms->p50, run->latency_ms->p90, run->latency_ms->p99}) row.push_back(number_cell(p));
    } else {
      row.emplace_back(run->timing_unavailable);
      for (int i = 0; i < 3; ++i) row.emplace_back("");
    }
    row.push_back(run->throughput_per_s ? PageCell(with_bounds(*run->throughput_per_s), run->throughput_per_s->mean) : "");
    energy_cells(row, *run);
    quality_cells(row, *run);
    row.emplace_back(mebibytes(run->size_bytes), static_cast<double>(run->size_bytes));
    row.push_back(number_cell(run->size_ratio));
    row.push_back(run->peak_memory_bytes
                      ? PageCell(mebibytes(*run->peak_memory_bytes), static_cast<double>(*run->peak_memory_bytes))
                      : PageCell(run->peak_memory_unavailable));
    row.emplace_back(with_thousands(static_cast<double>(run->samples)), static_cast<double>(run->samples));
    for (const std::string& text :
         {run->storage, run->arithmetic, listed(run->throttled), listed(run->notes), listed(run->kernels)})
      row.push_back(optional_text(text));
  }
  return table;
}

PageTable comparisons_table(const Study& study) {
  PageTable table{
      "Formats compared in pairs, block by block (ratios a / b: above 1, b is cheaper or faster)",
      {"model", "a", "b", "phase", "batch", "seq", "joules a / b", "p", "speed b / a", "p", "quality b - a", "p", "test"},
      {},
      {"p: paired t-tests on blocks, and of quality on the items; Holm-adjusted over the formats."}};
  const auto ratio = [](const std::optional<Figure>& f) { return f ? PageCell(ratio_text(*f), f->mean) : PageCell(""); };
  const auto p = [](const std::optional<double>& value) { return value ? PageCell(p_text(*value), *value) : PageCell(""); };
  for (const Comparison& c : study.comparisons) {
    char delta[32] = "";
    if (c.quality_delta) std::snprintf(delta, sizeof delta, "%+.3g", *c.quality_delta);
    table.rows.push_back({c.model,
                          c.a,
                          c.b,
                          c.phase,
                          {std::to_string(c.batch), static_cast<double>(c.batch)},
                          {std::to_string(c.seq), static_cast<double>(c.seq)},
                          ratio(c.energy_ratio),
                          p(c.energy_p),
                          ratio(c.speedup),
                          p(c.speedup_p),
                          {delta, c.quality_delta},
                          p(c.p_value),
                          c.test});
  }
  return table;
}

}  // namespace

std::string what_ran(const Run& run) {
  return run.model + ", " + (run.phase == "forward" ? "" : run.phase + ", ") + "batch " + std::to_string(run.batch) +
         (run.seq == 0 ? ", unpadded" : ", seq " + std::to_string(run.seq));
}

std::string study_section(const PageInput& input, const Study& study, const PageOptions& options) {
  std::string text;
  for (const std::string& line : closing_lines(study)) text += paragraph(line, "warn");
  const auto groups = groups_of(study);
  const auto tables = tables_of(study);
  std::vector<const Run*> all;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    text += heading(3, what_ran(*groups[g].front()));
    if (const std::string found = finding(study, groups[g]); !found.empty()) text += paragraph(found, "finding");
    text += html(of_text(tables[g])) + paragraph(tables[g].method + ". Intervals hold 95 %.", "method");
    if (const auto chart = pareto_chart(study, groups[g])) text += html(*chart);
    if (const auto chart = cost_chart(study, groups[g])) text += html(*chart);
    text += folded("Every figure", html(transposed(all_figures(groups[g]))));
    all.insert(all.end(), groups[g].begin(), groups[g].end());
  }
  if (!study.comparisons.empty()) text += folded("Every comparison", html(comparisons_table(study)));
  if (const auto table = cost_table(all, options)) text += heading(3, "A million inferences") + html(*table);
  if (const auto table = original_table(study)) text += heading(3, "Beside the original study") + html(*table);
  text += claims_section(study.claims);
  return text + power_section(input);
}

}  // namespace eaq::page

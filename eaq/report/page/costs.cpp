#include <cmath>

#include "eaq/report/numbers.h"
#include "eaq/report/page/sections.h"

namespace eaq::page {
namespace {

constexpr double million = 1e6, joules_per_kWh = 3.6e6;

Figure scaled(const Figure& figure, double factor) {
  Figure out{figure.mean * factor, {}, {}};
  if (figure.ci95) out.ci95 = std::pair{figure.ci95->first * factor, figure.ci95->second * factor};
  return out;
}

PageCell bounds(const Figure& figure) { return {with_bounds(figure), figure.mean}; }

std::string plain(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

}  // namespace

std::optional<PageTable> cost_table(const std::vector<const Run*>& runs, const PageOptions& options) {
  PageTable table{"What a million inferences cost", {"model and shape", "format", "a million", "kWh"}, {}, {}};
  if (options.price_per_kWh) table.header.push_back("money, at " + plain(*options.price_per_kWh) + " per kWh");
  if (options.grams_per_kWh) table.header.push_back("kg CO2e, at " + plain(*options.grams_per_kWh) + " g per kWh");
  table.header.emplace_back("joules");
  for (const Run* run : runs) {
    if (!run->energy || !std::isfinite(run->energy->mJ_per_sample.mean)) continue;
    const Figure kWh = scaled(run->energy->mJ_per_sample, million / 1000 / joules_per_kWh);
    auto& row = table.rows.emplace_back();
    row = {what_ran(*run), run->format + (run->emulated ? " ~" : ""), run->unit + "s", bounds(kWh)};
    if (options.price_per_kWh) row.push_back(bounds(scaled(kWh, *options.price_per_kWh)));
    if (options.grams_per_kWh) row.push_back(bounds(scaled(kWh, *options.grams_per_kWh / 1000)));
    row.emplace_back(run->energy->label + ", " + run->energy->meter);
  }
  if (table.rows.empty()) return std::nullopt;
  table.notes.emplace_back(
      "Of the metered device alone, while it is busy with this work at this shape: no host, no cooling, no waiting. Intervals "
      "hold 95 %.");
  if (!options.price_per_kWh && !options.grams_per_kWh)
    table.notes.emplace_back("For money and CO2e: eaq report ... --price P --carbon G, both per kWh.");
  return table;
}

}  // namespace eaq::page

// Charts as Vega-Lite specifications. Colours are the page's variables (web/page.css), so that the dark and print need no other
// specification; numbers in tooltips are texts with their intervals, written here.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "eaq/report/page/html.h"
#include "eaq/report/report.h"

namespace eaq::page {

/// What every chart has in common; `height` in pixels (Vega-Lite warns of steps beside a fitted width).
Json chart_frame(Json height);
Json colour(int index);
/// A nominal colour scale over these names, in their order.
Json colours_of(const std::vector<std::string>& names);
/// "a" read "A, as a person says it", a line of a tooltip.
Json tip(const std::string& field, const std::string& title);
Json field(const std::string& name, const std::string& type, const std::string& title);

/// What a table's runs cost: joules per sample, or where there are none milliseconds per run.
struct RunCost {
  const Run* run = nullptr;
  Figure cost;
};
std::vector<RunCost> costs_of(const std::vector<const Run*>& group, bool& joules);

/// Quality against cost, one point a format. Empty where a side is missing for all.
std::optional<PageChart> pareto_chart(const Study& study, const std::vector<const Run*>& group);
/// Cost of each format from zero, above idle and all of it.
std::optional<PageChart> cost_chart(const Study& study, const std::vector<const Run*>& group);
/// One a zone; of visits alone where no samples were kept.
std::vector<PageChart> power_charts(const PageInput& input);

std::vector<PageChart> site_cost_charts(const Profile& profile);
std::vector<PageChart> impact_charts(const Profile& profile);
std::vector<PageChart> correlation_charts(const Profile& profile);
std::vector<PageChart> roofline_charts(const Profile& profile);
/// Sites by the shortest name that tells them apart: "h.0.mlp.c_fc" of "transformer.h.0.mlp.c_fc".
std::map<std::string, std::string> short_names(const std::vector<SiteRecord>& sites);

}  // namespace eaq::page

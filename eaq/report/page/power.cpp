#include <algorithm>
#include <map>

#include "eaq/report/numbers.h"
#include "eaq/report/page/charts.h"
#include "eaq/report/page/sections.h"

namespace eaq::page {
namespace {

constexpr const char* idle = "idle";  // the format of a pause

// In the order of the study's runs, as the other charts have them, so that a format keeps its colour; idling last.
std::vector<std::string> formats_in(const PageInput& input) {
  std::vector<std::string> names;
  const auto add = [&](const std::string& name) {
    if (name != idle && std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  };
  if (const auto* study = std::get_if<Study>(&input.result))
    for (const Run& run : study->runs) add(run.format);
  for (const PowerVisit& visit : input.visits) add(visit.format);
  return names;
}

Json format_colours(const PageInput& input) {
  std::vector<std::string> names = formats_in(input);
  Json channel = colours_of(names);
  names.emplace_back(idle);
  channel["scale"]["domain"] = names;
  channel["scale"]["range"].push_back("var(--muted)");
  return channel;
}

Json visit_rows(const std::vector<PowerVisit>& visits) {
  Json rows = Json::array();
  for (const PowerVisit& visit : visits)
    rows.push_back({{"a", visit.start},
                    {"b", visit.end},
                    {"format", visit.format},
                    {"w", visit.watts ? number_or_null(*visit.watts) : Json(nullptr)},
                    {"what", visit.model.empty() ? "nothing: everything resident" : visit.model + ", " + visit.phase},
                    {"time", with_decimals(visit.start, 1) + " to " + with_decimals(visit.end, 1) + " s"},
                    {"watts", visit.watts ? short_number(*visit.watts) + " W" : "-"}});
  return rows;
}

Json time_axis() {
  Json x = field("a", "quantitative", "seconds since the record's start");
  x["scale"] = {{"zero", false}, {"nice", false}};
  return x;
}

const Json& visit_tips() {
  static const Json tips = {tip("format", "format"), tip("what", "ran"), tip("time", "time"), tip("watts", "mean power")};
  return tips;
}

double tenth(double value) { return std::round(value * 10) / 10; }

PageChart trace_chart(const PowerTrace& trace, const PageInput& input) {
  Json points = Json::array();
  double low = trace.watts.front().value, high = low;
  for (const Curve::Point& point : trace.watts) {
    low = std::min(low, point.value);
    high = std::max(high, point.value);
    points.push_back({{"t", std::round(point.time * 1000) / 1000}, {"w", tenth(point.value)}});
  }
  Json spec = chart_frame(260);
  Json watts = field("w", "quantitative", "W");
  Json time = time_axis();
  time["field"] = "t";
  spec["layer"] = Json::array();
  if (!input.visits.empty())
    spec["layer"].push_back(
        {{"data", {{"values", visit_rows(input.visits)}}},
         {"mark", {{"type", "rect"}, {"opacity", 0.35}}},
         {"encoding",
          {{"x", time_axis()}, {"x2", {{"field", "b"}}}, {"color", format_colours(input)}, {"tooltip", visit_tips()}}}});
  spec["layer"].push_back(
      {{"data", {{"values", points}}},
       {"mark", {{"type", "line"}, {"interpolate", "step-after"}, {"strokeWidth", 1}, {"color", "var(--ink)"}}},
       {"encoding", {{"x", time}, {"y", watts}}}});
  const bool bands = !input.visits.empty();
  return {"Power of " + trace.zone,
          trace.label + "; at most " + std::to_string(points_of_a_trace) + " points, the least and the largest of each stretch" +
              (bands ? "; bands are visits." : "."),
          "It drew from " + short_number(low) + " to " + short_number(high) + " W over " +
              with_decimals(trace.watts.back().time - trace.watts.front().time, 0) + " s." +
              (bands ? " The table below has the mean of each format." : ""),
          spec};
}

PageChart visits_chart(const PageInput& input) {
  Json spec = chart_frame(260);
  Json watts = field("w", "quantitative", "W, mean of a visit");
  spec["data"] = {{"values", visit_rows(input.visits)}};
  spec["transform"] = {{{"filter", "datum.w != null"}}};
  spec["mark"] = {{"type", "rule"}, {"strokeWidth", 4}};
  spec["encoding"] = {
      {"x", time_axis()}, {"x2", {{"field", "b"}}}, {"y", watts}, {"color", format_colours(input)}, {"tooltip", visit_tips()}};
  return {"Power of each visit", "Joules of the visit over its length, from visits.csv.",
          "The mean power of each stretch in which one format ran, in the order in which they ran; the table below has the mean "
          "of each format.",
          spec};
}

// By format, model and phase, in order of appearance.
PageTable visits_table(const std::vector<PowerVisit>& visits) {
  struct Sum {
    const PowerVisit* first;
    double joules = 0, seconds = 0, least = 0, most = 0;
    int count = 0;
  };
  std::vector<Sum> sums;
  for (const PowerVisit& visit : visits) {
    if (!visit.watts) continue;
    auto sum = std::find_if(sums.begin(), sums.end(), [&](const Sum& s) {
      return s.first->format == visit.format && s.first->model == visit.model && s.first->phase == visit.phase;
    });
    if (sum == sums.end()) sum = sums.insert(sum, Sum{&visit, 0, 0, *visit.watts, *visit.watts, 0});
    sum->seconds += visit.end - visit.start;
    sum->joules += *visit.watts * (visit.end - visit.start);
    sum->least = std::min(sum->least, *visit.watts);
    sum->most = std::max(sum->most, *visit.watts);
    ++sum->count;
  }
  PageTable table{"Mean power while it ran", {"format", "model", "phase", "visits", "W", "least W", "most W"}, {}, {}};
  for (const Sum& s : sums)
    table.rows.push_back({s.first->format,
                          s.first->model,
                          s.first->phase,
                          {std::to_string(s.count), s.count},
                          number_cell(s.joules / s.seconds),
                          number_cell(s.least),
                          number_cell(s.most)});
  return table;
}

}  // namespace

std::vector<PageChart> power_charts(const PageInput& input) {
  std::vector<PageChart> charts;
  for (const PowerTrace& trace : input.power) charts.push_back(trace_chart(trace, input));
  const bool known =
      std::any_of(input.visits.begin(), input.visits.end(), [](const PowerVisit& v) { return v.watts.has_value(); });
  if (charts.empty() && known) charts.push_back(visits_chart(input));
  return charts;
}

std::string power_section(const PageInput& input) {
  std::string text = heading(3, "Power over time");
  if (input.power.empty()) text += paragraph("No power traces: " + input.no_power + ".", "method");
  for (const PageChart& chart : power_charts(input)) text += html(chart);
  const PageTable table = visits_table(input.visits);
  return text + (table.rows.empty() ? "" : html(table));
}

}  // namespace eaq::page

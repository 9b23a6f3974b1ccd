#include "eaq/report/page/charts.h"

#include <algorithm>
#include <cmath>

#include "eaq/report/numbers.h"
#include "eaq/report/page/sections.h"
#include "eaq/report/table.h"

namespace eaq::page {
namespace {

constexpr int colours = 8;

std::string cost_title(const Run& run, bool joules) {
  if (joules) return "mJ per " + run.unit;
  return run.phase == "decode" ? "ms per step" : "ms per batch";
}

std::string quality_title(const std::string& metric) { return metric == "accuracy" ? "accuracy, %" : metric; }

bool higher_is_better(const std::string& metric) { return metric == "accuracy"; }

double shown_quality(const QualityResult& quality) { return quality.value * (quality.metric == "accuracy" ? 100 : 1); }

// Not beaten by another in both cost and quality.
std::vector<bool> frontier(const std::vector<RunCost>& costs) {
  std::vector<bool> on(costs.size(), true);
  for (std::size_t i = 0; i < costs.size(); ++i)
    for (const RunCost& other : costs) {
      const QualityResult &a = *costs[i].run->quality, &b = *other.run->quality;
      const double gain = (b.value - a.value) * (higher_is_better(a.metric) ? 1 : -1);
      const double saved = costs[i].cost.mean - other.cost.mean;
      if (gain >= 0 && saved >= 0 && (gain > 0 || saved > 0)) on[i] = false;
    }
  return on;
}

// Room round the points, which may lie on one another.
Json quality_domain(const std::vector<RunCost>& costs) {
  double low = INFINITY, high = -INFINITY;
  for (const RunCost& c : costs) {
    low = std::min(low, shown_quality(*c.run->quality));
    high = std::max(high, shown_quality(*c.run->quality));
  }
  const double least = costs.front().run->quality->metric == "accuracy" ? 0.2 : 0.001 * high;
  const double room = std::max(0.15 * (high - low), least);
  return Json{low - room, high + room};
}

std::vector<std::string> formats_of(const std::vector<RunCost>& costs) {
  std::vector<std::string> names;
  names.reserve(costs.size());
  for (const RunCost& c : costs) names.push_back(c.run->format);
  return names;
}

Json shapes_of(const std::vector<std::string>& names) {
  static const char* const shapes[] = {"circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right"};
  Json range = Json::array();
  for (std::size_t i = 0; i < names.size(); ++i) range.push_back(shapes[i % std::size(shapes)]);
  return {{"domain", names}, {"range", range}};
}

Json pareto_rows(const Study& study, const std::vector<const Run*>& group, const std::vector<RunCost>& costs, bool joules) {
  const Run& reference = reference_of(group);
  const std::vector<bool> best = frontier(costs);
  Json rows = Json::array();
  for (std::size_t i = 0; i < costs.size(); ++i) {
    const Run& run = *costs[i].run;
    const Comparison* c = &run == &reference ? nullptr : comparison_of(study, reference, run);
    const bool judged = c != nullptr && c->p_value, differs = judged && *c->p_value < 0.05;
    const auto& ratio = c == nullptr ? std::optional<Figure>() : joules ? c->energy_ratio : c->speedup;
    const auto bounds = costs[i].cost.ci95.value_or(std::pair{costs[i].cost.mean, costs[i].cost.mean});
    rows.push_back(
        {{"format", run.format},
         {"x", shown_quality(*run.quality)},
         {"y", costs[i].cost.mean},
         {"low", bounds.first},
         {"high", bounds.second},
         {"best", static_cast<bool>(best[i])},
         {"fill", differs ? Json("var(--paper)") : colour(static_cast<int>(i))},
         {"quality", quality_text(*run.quality, true)},
         {"cost", with_bounds(costs[i].cost)},
         {"ratio", ratio ? ratio_text(*ratio) : "-"},
         {"test", judged ? c->test + ", " + p_text(*c->p_value) + (differs ? ": differs" : ": no difference shown") : "-"},
         {"kl", small_number(run.quality->kl_mean)},
         {"what", run.emulated ? "emulated: its cost is not the format's" : "as it ran"}});
  }
  return rows;
}

Json pareto_spec(const Json& rows, const std::vector<RunCost>& costs, bool joules, const std::string& reference) {
  const Run& first = *costs.front().run;
  const std::string metric = first.quality->metric;
  const auto [low, high] = std::minmax_element(costs.begin(), costs.end(),
                                               [](const RunCost& a, const RunCost& b) { return a.cost.mean < b.cost.mean; });
  const bool wide = high->cost.mean > 4 * low->cost.mean && low->cost.mean > 0;
  Json x = field("x", "quantitative", quality_title(metric) + " (better to the right)");
  x["scale"] = {{"domain", quality_domain(costs)}, {"zero", false}, {"nice", false}, {"reverse", !higher_is_better(metric)}};
  x["axis"] = {{"tickCount", 5}};
  Json y = field("y", "quantitative", cost_title(first, joules) + (wide ? " (logarithmic)" : ""));
  y["scale"] = {{"type", wide ? "log" : "linear"}, {"nice", true}, {"padding", 12}};
  if (!wide) y["scale"]["zero"] = false;  // a logarithmic scale has none to leave out
  const std::vector<std::string> names = formats_of(costs);
  const Json hollow = {{"title", nullptr},
                       {"symbolFillColor", "transparent"}};  // full and hollow say something in the chart alone
  Json shape = {{"field", "format"}, {"type", "nominal"}, {"scale", shapes_of(names)}, {"legend", hollow}};
  Json colour_field = colours_of(names);
  colour_field.erase("title");
  colour_field["legend"] = hollow;
  const Json tips = {tip("format", "format"),
                     tip("cost", cost_title(first, joules)),
                     tip("ratio", (joules ? "joules vs " : "speed vs ") + reference),
                     tip("quality", metric),
                     tip("test", "against " + reference),
                     tip("kl", "KL, nats"),
                     tip("what", "arithmetic")};
  Json spec = chart_frame(320);
  spec["data"] = {{"values", rows}};
  spec["encoding"] = {{"x", x}};
  spec["layer"] = {
      {{"transform", {{{"filter", "datum.best"}}}},
       {"mark", {{"type", "line"}, {"interpolate", "linear"}, {"strokeDash", {4, 4}}, {"color", "var(--muted)"}}},
       {"encoding", {{"y", y}, {"order", {{"field", "x"}, {"type", "quantitative"}}}}}},
      {{"mark", {{"type", "rule"}, {"strokeWidth", 2}}},
       {"encoding",
        {{"y", {{"field", "low"}, {"type", "quantitative"}}}, {"y2", {{"field", "high"}}}, {"color", colours_of(names)}}}},
      {{"mark", {{"type", "point"}, {"size", 140}, {"strokeWidth", 2}, {"filled", false}}},
       {"encoding",
        {{"y", y},
         {"shape", shape},
         {"color", colour_field},
         {"fill", {{"field", "fill"}, {"type", "nominal"}, {"scale", nullptr}, {"legend", nullptr}}},
         {"tooltip", tips}}}}};
  return spec;
}

std::string cost_method(const Study& study, const std::vector<RunCost>& costs, bool joules) {
  const Run& run = *costs.front().run;
  return (joules ? "Joules: " + run.energy->meter + ", " + run.energy->method + ", " + run.energy->label + "; " : "Times: ") +
         timing_method(study.manifest.protocol) + ", " + study.manifest.device.name + "; intervals 95 %.";
}

}  // namespace

Json chart_frame(Json height) {
  const Json text = {{"labelColor", "var(--ink)"},  {"titleColor", "var(--ink)"}, {"domainColor", "var(--muted)"},
                     {"tickColor", "var(--muted)"}, {"gridColor", "var(--line)"}, {"labelLimit", 150},
                     {"labelOverlap", "greedy"},    {"titleFontWeight", "normal"}};
  Json legend = {
      {"labelColor", "var(--ink)"}, {"titleColor", "var(--ink)"}, {"orient", "top"}, {"direction", "horizontal"}, {"columns", 4},
      {"titleFontWeight", "normal"}};
  return {{"$schema", "https://vega.github.io/schema/vega-lite/v6.json"},
          {"width", "container"},
          {"height", std::move(height)},
          {"background", "transparent"},
          {"config",
           {{"aria", false},  // the figure says it in words; a voice for each mark helps nobody
            {"font", "system-ui, DejaVu Sans, sans-serif"},
            {"axis", text},
            {"legend", legend},
            {"view", {{"stroke", nullptr}}},
            {"text", {{"color", "var(--ink)"}}}}}};
}

Json colour(int index) { return "var(--c" + std::to_string(index % colours) + ")"; }

Json colours_of(const std::vector<std::string>& names) {
  Json range = Json::array();
  for (std::size_t i = 0; i < names.size(); ++i) range.push_back(colour(static_cast<int>(i)));
  return {{"field", "format"}, {"type", "nominal"}, {"title", nullptr}, {"scale", {{"domain", names}, {"range", range}}}};
}

Json tip(const std::string& field_name, const std::string& title) { return {{"field", field_name}, {"title", title}}; }

Json field(const std::string& name, const std::string& type, const std::string& title) {
  return {{"field", name}, {"type", type}, {"title", title}};
}

std::vector<RunCost> costs_of(const std::vector<const Run*>& group, bool& joules) {
  joules = std::any_of(group.begin(), group.end(), [](const Run* run) { return run->energy.has_value(); });
  std::vector<RunCost> costs;
  for (const Run* run : group) {
    if (joules && run->energy) costs.push_back({run, run->energy->mJ_per_sample});
    if (!joules && run->latency_ms) costs.push_back({run, run->latency_ms->ms});
  }
  std::erase_if(costs, [](const RunCost& c) { return !std::isfinite(c.cost.mean); });
  return costs;
}

std::optional<PageChart> pareto_chart(const Study& study, const std::vector<const Run*>& group) {
  bool joules = false;
  std::vector<RunCost> costs = costs_of(group, joules);
  std::erase_if(costs, [](const RunCost& c) { return !c.run->quality || !std::isfinite(c.run->quality->value); });
  if (costs.empty()) return std::nullopt;
  const std::string& reference = reference_of(group).format;
  std::string best;
  const std::vector<bool> on = frontier(costs);
  for (std::size_t i = 0; i < costs.size(); ++i)
    if (on[i]) best += (best.empty() ? "" : ", ") + costs[i].run->format;
  PageChart chart;
  chart.title = joules ? "Quality against joules" : "Quality against time";
  chart.finding = "On the frontier, where no other is both cheaper and better by the estimates: " + best +
                  " (dashed line). A hollow sign: the quality differs from " + reference +
                  "'s by a paired test; a filled one: no difference was shown. The picture magnifies quality: one format's own "
                  "interval is in its "
                  "tooltip and in the table, and mostly wider than the picture.";
  chart.method = cost_method(study, costs, joules);
  chart.spec = pareto_spec(pareto_rows(study, group, costs, joules), costs, joules, reference);
  return chart;
}

std::optional<PageChart> cost_chart(const Study& study, const std::vector<const Run*>& group) {
  bool joules = false;
  const std::vector<RunCost> costs = costs_of(group, joules);
  if (costs.empty()) return std::nullopt;
  Json rows = Json::array();
  bool dynamic = false;
  for (const RunCost& c : costs) {
    const auto bounds = c.cost.ci95.value_or(std::pair{c.cost.mean, c.cost.mean});
    const auto& above = joules ? c.run->energy->dynamic_mJ_per_sample : std::optional<Figure>();
    dynamic = dynamic || above;
    rows.push_back({{"format", c.run->format},
                    {"y", c.cost.mean},
                    {"low", bounds.first},
                    {"high", bounds.second},
                    {"above", above ? number_or_null(above->mean) : Json(nullptr)},
                    {"cost", with_bounds(c.cost)},
                    {"idle", above ? with_bounds(*above) : "-"},
                    {"power", joules ? short_number(c.run->energy->mean_power_W) + " W" : "-"}});
  }
  const Run& first = *costs.front().run;
  const std::vector<std::string> names = formats_of(costs);
  Json colours_alone = colours_of(names);
  colours_alone["legend"] = nullptr;
  Json tips = {tip("format", "format"), tip("cost", cost_title(first, joules))};
  if (joules) tips.push_back(tip("power", "mean power"));
  if (dynamic) tips.push_back(tip("idle", "mJ above idle"));
  Json y = field("format", "nominal", "");
  y["sort"] = nullptr;
  y["title"] = nullptr;
  Json spec = chart_frame(26 * rows.size());
  spec["data"] = {{"values", rows}};
  spec["encoding"] = {{"y", y}, {"color", colours_alone}, {"tooltip", tips}};
  spec["layer"] = {
      {{"mark", {{"type", "bar"}, {"opacity", dynamic ? 0.45 : 0.85}}},
       {"encoding", {{"x", field("y", "quantitative", cost_title(first, joules))}}}},
      {{"mark", {{"type", "bar"}, {"opacity", 0.9}}}, {"encoding", {{"x", {{"field", "above"}, {"type", "quantitative"}}}}}},
      {{"mark", {{"type", "rule"}, {"strokeWidth", 2}, {"color", "var(--ink)"}}},
       {"encoding",
        {{"x", {{"field", "low"}, {"type", "quantitative"}}},
         {"x2", {{"field", "high"}}},
         {"color", {{"value", "var(--ink)"}}}}}}};
  if (!dynamic) spec["layer"].erase(1);
  const auto least =
      std::min_element(costs.begin(), costs.end(), [](const RunCost& a, const RunCost& b) { return a.cost.mean < b.cost.mean; });
  PageChart chart;
  chart.title = joules ? "Joules of each format" : "Time of each format";
  chart.finding = least->run->format + " costs least: " + with_margin(least->cost) + " " + cost_title(first, joules) +
                  (dynamic ? ". The stronger part is what it draws above idle." : ".");
  chart.method = cost_method(study, costs, joules);
  chart.spec = spec;
  return chart;
}

}  // namespace eaq::page

#include <algorithm>
#include <cmath>
#include <set>

#include "eaq/report/numbers.h"
#include "eaq/report/page/charts.h"
#include "eaq/report/profile_parts.h"

namespace eaq::page {
namespace {

constexpr std::size_t most_bars = 40;

// The kinds in the order of what they cost altogether.
std::vector<std::string> kinds_by_cost(const std::vector<const SiteRecord*>& sites,
                                       const std::function<double(const SiteRecord&)>& cost) {
  std::map<std::string, double> sums;
  for (const SiteRecord* site : sites) sums[site->kind] += cost(*site);
  std::vector<std::string> kinds;
  kinds.reserve(sums.size());
  for (const auto& [kind, sum] : sums) kinds.push_back(kind);
  std::sort(kinds.begin(), kinds.end(), [&](const std::string& a, const std::string& b) { return sums[a] > sums[b]; });
  return kinds;
}

Json scale_of(const std::string& name, const std::vector<std::string>& names, const std::string& title) {
  Json channel = colours_of(names);
  channel["field"] = name;
  channel["title"] = title;
  return channel;
}

Json bound(const std::optional<Figure>& figure, bool high) {
  if (!figure || !figure->ci95) return nullptr;
  return number_or_null(high ? figure->ci95->second : figure->ci95->first);
}

std::string text_of(const std::optional<Figure>& figure) { return figure ? with_bounds(*figure) : "-"; }

double position(const std::vector<std::string>& order, const std::string& name) {
  return static_cast<double>(std::find(order.begin(), order.end(), name) - order.begin());
}

std::string per_cent(double fraction) { return with_decimals(100 * fraction, 1) + " %"; }

Json names_axis(const std::string& name, const std::vector<std::string>& order) {
  Json y = field(name, "nominal", "");
  y["title"] = nullptr;
  y["sort"] = order;
  return y;
}

// A figure's value, with the impact of each format and of ablation in one list.
struct ImpactEntry {
  std::string site, to;
  const ImpactRecord* impact;
};
std::vector<ImpactEntry> impacts_of(const Profile& profile) {
  std::vector<ImpactEntry> all;
  for (const SiteRecord& site : profile.sites) {
    for (const auto& [format, impact] : site.impact) all.push_back({site.site, format, &impact});
    if (site.ablation) all.push_back({site.site, "ablated", &*site.ablation});
  }
  return all;
}

Json correlation_rows(const CorrelationRecord& c, const std::vector<std::vector<double>>& values,
                      const std::vector<std::vector<std::pair<double, double>>>& intervals) {
  Json rows = Json::array();
  for (std::size_t i = 0; i < c.names.size() && i < values.size(); ++i)
    for (std::size_t j = 0; j < c.names.size() && j < values[i].size(); ++j) {
      const bool known = std::isfinite(values[i][j]);
      std::string interval = "-";
      if (i < intervals.size() && j < intervals[i].size() && std::isfinite(intervals[i][j].first))
        interval = "[" + with_decimals(intervals[i][j].first, 2) + ", " + with_decimals(intervals[i][j].second, 2) + "]";
      rows.push_back({{"a", c.names[i]},
                      {"b", c.names[j]},
                      {"r", number_or_null(values[i][j])},
                      {"text", known ? with_decimals(values[i][j], 2) : "-"},
                      {"interval", interval},
                      {"n", std::to_string(c.n)},
                      {"dark", known && std::abs(values[i][j]) > 0.6}});
    }
  return rows;
}

// The pair, each of two different names, that goes together most.
std::string strongest(const CorrelationRecord& c, const std::vector<std::vector<double>>& values) {
  double best = 0;
  std::string text = "No two figures go together.";
  for (std::size_t i = 0; i < c.names.size() && i < values.size(); ++i)
    for (std::size_t j = 0; j < i && j < values[i].size(); ++j) {
      if (!std::isfinite(values[i][j]) || std::abs(values[i][j]) <= best) continue;
      best = std::abs(values[i][j]);
      text = "Most together: " + c.names[j] + " and " + c.names[i] + ", r = " + with_decimals(values[i][j], 2) + ".";
    }
  return text;
}

PageChart correlation_chart(const CorrelationRecord& c, const std::string& kind, const std::vector<std::vector<double>>& values,
                            const std::vector<std::vector<std::pair<double, double>>>& intervals) {
  Json spec = chart_frame(30 * c.names.size());
  Json x = names_axis("b", c.names);
  x["axis"] = {{"labelAngle", -60}, {"labelLimit", 110}};
  const Json tips = {tip("a", "of"), tip("b", "with"), tip("text", kind), tip("interval", "95 %"), tip("n", "sites")};
  spec["data"] = {{"values", correlation_rows(c, values, intervals)}};
  spec["encoding"] = {{"x", x}, {"y", names_axis("a", c.names)}, {"tooltip", tips}};
  spec["layer"] = {{{"mark", {{"type", "rect"}}},
                    {"encoding",
                     {{"color",
                       {{"field", "r"},
                        {"type", "quantitative"},
                        {"title", "r"},
                        {"scale", {{"domain", {-1, 0, 1}}, {"range", {"#c2571a", "#f4f4f4", "#2b6ca8"}}, {"interpolate", "lab"}}},
                        {"legend", {{"gradientLength", 160}}}}}}}},
                   {{"mark", {{"type", "text"}, {"fontSize", 10}}},
                    {"encoding",
                     {{"text", {{"field", "text"}}},
                      {"color", {{"condition", {{"test", "datum.dark"}, {"value", "#ffffff"}}}, {"value", "#1b1f24"}}}}}}};
  return {kind + " correlation between the sites' figures",
          "Over the " + std::to_string(c.n) + " sites that have all of them; intervals 95 %, in the tooltips and the table.",
          strongest(c, values), spec};
}

std::string site_words(const std::vector<const SiteRecord*>& sites, const std::vector<std::string>& kinds, bool joules,
                       const std::function<double(const SiteRecord&)>& cost) {
  double whole = 0, first = 0;
  for (const SiteRecord* site : sites) {
    whole += cost(*site);
    if (site->kind == kinds.front()) first += cost(*site);
  }
  const auto top =
      std::max_element(sites.begin(), sites.end(), [&](const SiteRecord* a, const SiteRecord* b) { return cost(*a) < cost(*b); });
  return "Of the " + std::string(joules ? "joules" : "time") + " of all parts " + per_cent(first / whole) + " go to " +
         kinds.front() + "; the largest part is " + (*top)->site + ", " + per_cent(cost(**top) / whole) + ".";
}

}  // namespace

std::map<std::string, std::string> short_names(const std::vector<SiteRecord>& sites) {
  // The part before the first dot that all long names share goes; names without it stay.
  std::map<std::string, std::string> names;
  std::map<std::string, int> heads;
  for (const SiteRecord& site : sites)
    if (const auto dot = site.site.find('.'); dot != std::string::npos) ++heads[site.site.substr(0, dot + 1)];
  std::set<std::string> taken;
  for (const SiteRecord& site : sites) {
    std::string name = site.site;
    if (const auto dot = name.find('.'); dot != std::string::npos && heads.size() == 1) name = name.substr(dot + 1);
    for (const char* part : {"distilbert.", "transformer."})
      if (heads.size() > 1 && name.starts_with(part)) name = name.substr(std::string_view(part).size());
    names[site.site] = taken.insert(name).second ? name : site.site;
  }
  return names;
}

std::vector<PageChart> site_cost_charts(const Profile& profile) {
  const bool joules = has_joules(profile);
  const bool loops =
      std::any_of(profile.sites.begin(), profile.sites.end(), [](const SiteRecord& s) { return s.mJ.has_value(); });
  const auto figure_of = [joules](const SiteRecord& s) -> const std::optional<Figure>& {
    return joules ? best_joules(s) : s.time_ms;
  };
  const auto cost = [&](const SiteRecord& s) { return figure_of(s)->mean; };
  std::vector<const SiteRecord*> sites;
  for (const SiteRecord& site : profile.sites)
    if (const auto& f = figure_of(site); f && std::isfinite(f->mean)) sites.push_back(&site);
  if (sites.empty()) return {};
  const std::vector<std::string> kinds = kinds_by_cost(sites, cost);
  const std::string words = site_words(sites, kinds, joules, cost);
  const std::size_t all = sites.size();
  std::stable_sort(sites.begin(), sites.end(), [&](const SiteRecord* a, const SiteRecord* b) { return cost(*a) > cost(*b); });
  sites.resize(std::min(all, most_bars));
  std::stable_sort(sites.begin(), sites.end(),
                   [&](const SiteRecord* a, const SiteRecord* b) { return position(kinds, a->kind) < position(kinds, b->kind); });

  const auto names = short_names(profile.sites);
  std::vector<std::string> order;
  Json rows = Json::array();
  for (const SiteRecord* s : sites) {
    order.push_back(names.at(s->site));
    const auto& figure = figure_of(*s);
    rows.push_back({{"site", names.at(s->site)},
                    {"whole", s->site},
                    {"kind", s->kind},
                    {"v", cost(*s)},
                    {"low", bound(figure, false)},
                    {"high", bound(figure, true)},
                    {"place", loops && s->mJ_in_place ? number_or_null(s->mJ_in_place->mean) : Json(nullptr)},
                    {"text", text_of(figure)},
                    {"in_place", text_of(s->mJ_in_place)},
                    {"share", s->share ? per_cent(*s->share) : "-"},
                    {"bound_by", s->bound_by}});
  }
  const char* unit = loops ? "mJ, loops" : joules ? "mJ, in place" : "ms";
  Json tips = {tip("whole", "site"), tip("kind", "kind"), tip("text", unit), tip("share", "share"), tip("bound_by", "bound by")};
  if (loops) tips.push_back(tip("in_place", "mJ, in place"));
  Json spec = chart_frame(15 * rows.size());
  spec["data"] = {{"values", rows}};
  spec["encoding"] = {{"y", names_axis("site", order)}, {"tooltip", tips}};
  spec["layer"] = {
      {{"mark", {{"type", "bar"}, {"opacity", 0.85}}},
       {"encoding",
        {{"x", field("v", "quantitative", joules ? "mJ per run" : "ms per run")}, {"color", scale_of("kind", kinds, "kind")}}}},
      {{"transform", {{{"filter", "datum.low != null"}}}},
       {"mark", {{"type", "rule"}, {"color", "var(--ink)"}}},
       {"encoding", {{"x", {{"field", "low"}, {"type", "quantitative"}}}, {"x2", {{"field", "high"}}}}}}};
  const bool in_place =
      loops && std::any_of(sites.begin(), sites.end(), [](const SiteRecord* s) { return s->mJ_in_place.has_value(); });
  if (in_place)  // a layer without a value has no extent, of which Vega warns
    spec["layer"].push_back({{"transform", {{{"filter", "datum.place != null"}}}},
                             {"mark", {{"type", "tick"}, {"color", "var(--ink)"}, {"thickness", 2}, {"size", 10}}},
                             {"encoding", {{"x", {{"field", "place"}, {"type", "quantitative"}}}}}});
  std::string method = loops || !joules ? "Bars: each part in a loop within the whole program, with 95 % intervals"
                                        : "Bars: each part in place, doubled in whole runs, with 95 % intervals";
  method += in_place ? "; ticks: in place." : ".";
  if (all > sites.size()) method += " The " + std::to_string(sites.size()) + " largest of " + std::to_string(all) + ".";
  return {{joules ? "Joules of each part" : "Time of each part", method, words, spec}};
}

std::vector<PageChart> impact_charts(const Profile& profile) {
  const std::vector<ImpactEntry> entries = impacts_of(profile);
  if (entries.empty()) return {};
  const auto names = short_names(profile.sites);
  Json rows = Json::array();
  std::vector<std::string> order;
  const ImpactEntry* worst = &entries.front();
  double least = INFINITY;
  for (const ImpactEntry& e : entries)
    if (e.impact->kl.mean > 0) least = std::min(least, e.impact->kl.mean);
  if (!std::isfinite(least)) return {};
  for (const ImpactEntry& e : entries) {
    const std::string& name = names.at(e.site);
    if (std::find(order.begin(), order.end(), name) == order.end()) order.push_back(name);
    if (e.impact->kl.mean > worst->impact->kl.mean) worst = &e;
    rows.push_back({{"site", name},
                    {"whole", e.site},
                    {"to", e.to},
                    {"kl", e.impact->kl.mean > 0 ? number_or_null(e.impact->kl.mean) : Json(nullptr)},
                    {"text", small_number(e.impact->kl.mean)},
                    {"interval", e.impact->kl.ci95 ? "[" + small_number(e.impact->kl.ci95->first) + ", " +
                                                         small_number(e.impact->kl.ci95->second) + "]"
                                                   : "-"},
                    {"flips", std::to_string(e.impact->flips) + " of " + std::to_string(e.impact->n)},
                    {"emulated", e.impact->emulated ? "its values alone" : "as it runs"}});
  }
  Json spec = chart_frame(13 * order.size());
  Json x = field("to", "nominal", "the one site in this format, or ablated");
  x["axis"] = {{"orient", "top"}, {"labelAngle", 0}};
  const Json tips = {tip("whole", "site"),
                     tip("to", "changed to"),
                     tip("text", "KL, nats"),
                     tip("interval", "95 %"),
                     tip("flips", "predictions changed"),
                     tip("emulated", "products")};
  spec["data"] = {{"values", rows}};
  spec["mark"] = {{"type", "rect"}};
  spec["encoding"] = {{"x", x},
                      {"y", names_axis("site", order)},
                      {"color",
                       {{"field", "kl"},
                        {"type", "quantitative"},
                        {"title", "KL, nats"},
                        {"scale", {{"type", "log"}, {"scheme", "viridis"}, {"domainMin", least}}},
                        {"legend", {{"gradientLength", 200}, {"format", ".0e"}}}}},
                      {"tooltip", tips}};
  return {{"Impact of each site on the answers",
           "KL on a logarithmic scale; " + with_thousands(static_cast<double>(entries.front().impact->n)) +
               " answers judged; intervals 95 % in the tooltips and the table.",
           "The answers change most with " + worst->site + " " + (worst->to == "ablated" ? "ablated" : "in " + worst->to) +
               ": KL " + small_number(worst->impact->kl.mean) + " nats.",
           spec}};
}

std::vector<PageChart> correlation_charts(const Profile& profile) {
  const CorrelationRecord& c = *profile.correlations;
  if (c.names.empty()) return {};
  return {correlation_chart(c, "Pearson", c.pearson, c.pearson_ci95),
          correlation_chart(c, "Spearman", c.spearman, c.spearman_ci95)};
}

std::vector<PageChart> roofline_charts(const Profile& profile) {
  const RooflineRecord& r = *profile.roofline;
  Json rows = Json::array();
  std::vector<std::string> bounds;
  std::map<std::string, int> counts;
  double low = INFINITY, high = 0;
  for (const SiteRecord& s : profile.sites) {
    const auto& mJ = best_joules(s);
    if (!mJ || !(s.flops > 0) || !(s.bytes > 0) || !(mJ->mean > 0)) continue;
    const double intensity = s.flops / s.bytes;
    low = std::min(low, intensity);
    high = std::max(high, intensity);
    const std::string bound = s.bound_by.empty() ? "not told" : s.bound_by;
    if (std::find(bounds.begin(), bounds.end(), bound) == bounds.end()) bounds.push_back(bound);
    ++counts[bound];
    rows.push_back({{"site", s.site},
                    {"kind", s.kind},
                    {"x", intensity},
                    {"y", mJ->mean * 1e9 / s.flops},
                    {"bound", bound},
                    {"at", short_number(intensity) + " flops a byte"},
                    {"cost", short_number(mJ->mean * 1e9 / s.flops) + " pJ a flop"},
                    {"mJ", with_bounds(*mJ)}});
  }
  if (rows.empty()) return {};
  Json roof = Json::array();
  for (int i = 0; i <= 40; ++i) {
    const double x = low / 1.5 * std::pow(high * 2.25 / low, i / 40.0);
    if (const double y = r.pJ_per_flop.mean + r.pJ_per_byte.mean / x; y > 0) roof.push_back({{"x", x}, {"y", y}});
  }
  Json x = field("x", "quantitative", "flops per byte (logarithmic)"),
       y = field("y", "quantitative", "pJ per flop (logarithmic)");
  for (Json* axis : {&x, &y}) {
    (*axis)["scale"] = {{"type", "log"}};
    (*axis)["axis"] = {{"tickCount", 5}, {"format", "~g"}};
  }
  Json spec = chart_frame(320);
  spec["layer"] = {
      {{"data", {{"values", rows}}},
       {"mark", {{"type", "point"}, {"size", 60}, {"filled", true}, {"opacity", 0.8}}},
       {"encoding",
        {{"x", x},
         {"y", y},
         {"color", scale_of("bound", bounds, "bound by")},
         {"shape", {{"field", "bound"}, {"type", "nominal"}, {"title", "bound by"}, {"scale", {{"domain", bounds}}}}},
         {"tooltip",
          {tip("site", "site"), tip("kind", "kind"), tip("bound", "bound by"), tip("at", "intensity"), tip("cost", "costs"),
           tip("mJ", "mJ")}}}}}};
  if (!roof.empty())
    spec["layer"].push_back({{"data", {{"values", roof}}},
                             {"mark", {{"type", "line"}, {"color", "var(--muted)"}, {"strokeDash", {5, 4}}}},
                             {"encoding", {{"x", x}, {"y", y}}}});
  std::string words;
  for (const std::string& name : bounds)
    words += (words.empty() ? "" : ", ") + std::to_string(counts[name]) + (name == "not told" ? " " : " by ") + name;
  return {{"Energy roofline",
           "The line: joules a flop of arithmetic and memory alone, as fitted; what lies above it is the static power over the "
           "site's time.",
           "Sites bound: " + words + ".", spec}};
}

}  // namespace eaq::page

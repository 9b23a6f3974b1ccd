#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <set>

#include "eaq/profile/findings.h"
#include "eaq/profile/roles.h"
#include "eaq/stats/stats.h"

namespace eaq {
namespace {

struct Column {
  std::string name;
  std::function<std::optional<double>(const SiteRecord&)> of;
};

std::optional<double> finite(double value) { return std::isfinite(value) ? std::optional(value) : std::nullopt; }
std::optional<double> mean_of(const std::optional<Figure>& figure) { return figure ? finite(figure->mean) : std::nullopt; }

std::vector<Column> columns_of(std::span<const SiteRecord> sites) {
  std::vector<Column> all{{"mJ", [](const SiteRecord& s) { return mean_of(joules_of(s)); }},
                          {"time_ms", [](const SiteRecord& s) { return mean_of(s.time_ms); }},
                          {"parameters", [](const SiteRecord& s) { return finite(static_cast<double>(s.parameters)); }},
                          {"bytes", [](const SiteRecord& s) { return finite(s.bytes); }},
                          {"flops", [](const SiteRecord& s) { return finite(s.flops); }}};
  std::set<std::string> formats;
  for (const SiteRecord& s : sites)
    for (const auto& [format, impact] : s.impact) formats.insert(format);
  for (const std::string& format : formats)
    all.push_back({"kl " + format, [format](const SiteRecord& s) {
                     const auto found = s.impact.find(format);
                     return found != s.impact.end() ? finite(found->second.kl.mean) : std::nullopt;
                   }});
  all.push_back({"kl ablated", [](const SiteRecord& s) { return s.ablation ? finite(s.ablation->kl.mean) : std::nullopt; }});
  return all;
}

// The columns that enough rows have, and of each its values over the rows that have them all.
std::pair<std::vector<std::string>, std::vector<std::vector<double>>> complete(std::span<const SiteRecord> sites) {
  std::vector<const SiteRecord*> rows;
  for (const SiteRecord& s : sites)
    if (s.parameters > 0) rows.push_back(&s);
  std::vector<Column> columns = columns_of(sites);
  const std::size_t enough = std::max<std::size_t>(4, (rows.size() + 1) / 2);
  std::erase_if(columns, [&](const Column& c) {
    const auto has = [&](const SiteRecord* s) { return c.of(*s).has_value(); };
    return static_cast<std::size_t>(std::count_if(rows.begin(), rows.end(), has)) < std::min(enough, rows.size());
  });
  std::erase_if(rows, [&](const SiteRecord* s) {
    return std::any_of(columns.begin(), columns.end(), [&](const Column& c) { return !c.of(*s); });
  });
  std::vector<std::string> names;
  std::vector<std::vector<double>> values;
  for (const Column& c : columns) {
    names.push_back(c.name);
    values.emplace_back();
    for (const SiteRecord* s : rows) values.back().push_back(*c.of(*s));
  }
  return {std::move(names), std::move(values)};
}

using Bounds = std::pair<double, double>;
constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();

Bounds by_z(double r, double variance) {
  const double z = std::atanh(r), half = normal_quantile(0.975) * std::sqrt(variance);
  return {std::tanh(z - half), std::tanh(z + half)};
}

Bounds pearson_bounds(double r, double n) {
  if (std::isnan(r) || n < 4) return {nan_value, nan_value};
  if (std::abs(r) > 1 - 1e-12) return {r, r};  // on one line, to rounding
  return by_z(r, 1 / (n - 3));
}

// A perfect order of n happens by chance, too: two neighbours the other way round would make it 1 - 12 / (n (n^2 - 1)).
Bounds spearman_bounds(double r, double n) {
  if (std::isnan(r) || n < 4) return {nan_value, nan_value};
  const double nearest = 1 - 12 / (n * (n * n - 1)), capped = std::clamp(r, -nearest, nearest);
  Bounds bounds = by_z(capped, (1 + capped * capped / 2) / (n - 3));
  if (r > nearest) bounds.second = 1;
  if (r < -nearest) bounds.first = -1;
  return bounds;
}

}  // namespace

std::optional<CorrelationRecord> correlate(std::span<const SiteRecord> sites) {
  const auto [names, values] = complete(sites);
  if (names.size() < 2 || values.front().size() < 3) return std::nullopt;
  CorrelationRecord record;
  record.names = names;
  record.n = static_cast<std::int64_t>(values.front().size());
  const auto n = static_cast<double>(record.n);
  for (std::size_t a = 0; a < names.size(); ++a) {
    auto& p = record.pearson.emplace_back();
    auto& s = record.spearman.emplace_back();
    auto& p_bounds = record.pearson_ci95.emplace_back();
    auto& s_bounds = record.spearman_ci95.emplace_back();
    for (std::size_t b = 0; b < names.size(); ++b) {
      p.push_back(pearson(values[a], values[b]).value_or(nan_value));
      s.push_back(spearman(values[a], values[b]).value_or(nan_value));
      p_bounds.push_back(a == b ? Bounds{p[b], p[b]} : pearson_bounds(p[b], n));
      s_bounds.push_back(a == b ? Bounds{s[b], s[b]} : spearman_bounds(s[b], n));
    }
  }
  return record;
}

}  // namespace eaq

#include <algorithm>
#include <array>
#include <cmath>

#include "eaq/profile/findings.h"
#include "eaq/profile/roles.h"
#include "eaq/stats/stats.h"

namespace eaq {
namespace {

constexpr std::size_t terms = 3;
constexpr std::array<const char*, terms> term_names{"static power (time)", "arithmetic (flops)", "memory (bytes)"};
using Terms = std::array<double, terms>;

// Joules and what they are to be explained by: seconds, flops, bytes.
struct Observation {
  Terms x{};
  double joules = 0;
  double error = 0;  // standard error of the joules, from their own interval
  double given = 0;  // joules that are known before the fit: idle power times time
};

Terms terms_of(const SiteRecord& row) { return {row.time_ms->mean * 1e-3, row.flops, row.bytes}; }

std::vector<Observation> observations(std::span<const SiteRecord> sites, double idle_W) {
  std::vector<Observation> all;
  for (const SiteRecord& s : sites) {
    const std::optional<Figure>& mJ = joules_of(s);
    if (!mJ || !s.time_ms || !std::isfinite(mJ->mean) || !(s.time_ms->mean > 0)) continue;
    Observation o{terms_of(s), mJ->mean * 1e-3, 0};
    const double half = mJ->ci95 ? (mJ->ci95->second - mJ->ci95->first) / 2 : 0;
    if (std::isfinite(half)) o.error = half * 1e-3 / normal_quantile(0.975);
    o.given = idle_W * o.x[0];
    all.push_back(o);
  }
  return all;
}

double predicted(const Terms& c, const Terms& x) { return c[0] * x[0] + c[1] * x[1] + c[2] * x[2]; }

// The normal equations of weighted rows, in columns of length 1.
struct Normal {
  std::array<Terms, terms> gram{};
  Terms right{}, length{};
  double squares = 0;
};

Normal normal_equations(std::span<const Observation> rows, std::span<const double> weight) {
  Normal n;
  for (std::size_t i = 0; i < rows.size(); ++i)
    for (std::size_t a = 0; a < terms; ++a) n.length[a] += std::pow(weight[i] * rows[i].x[a], 2);
  for (double& l : n.length) l = std::sqrt(l);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto column = [&](std::size_t a) { return n.length[a] > 0 ? weight[i] * rows[i].x[a] / n.length[a] : 0; };
    const double y = weight[i] * (rows[i].joules - rows[i].given);
    n.squares += y * y;
    for (std::size_t a = 0; a < terms; ++a) {
      n.right[a] += column(a) * y;
      for (std::size_t b = 0; b < terms; ++b) n.gram[a][b] += column(a) * column(b);
    }
  }
  return n;
}

// Cholesky over the chosen terms; empty where one of them is, to a hundredth of its length, a mixture of those before it.
std::optional<Terms> solve(const Normal& n, unsigned chosen) {
  std::array<Terms, terms> l{};
  std::vector<std::size_t> at;
  for (std::size_t a = 0; a < terms; ++a)
    if ((chosen >> a & 1u) != 0) at.push_back(a);
  Terms z{}, solution{};
  for (std::size_t i = 0; i < at.size(); ++i) {
    for (std::size_t j = 0; j <= i; ++j) {
      double rest = n.gram[at[i]][at[j]];
      for (std::size_t k = 0; k < j; ++k) rest -= l[i][k] * l[j][k];
      if (i == j && rest < 1e-4) return std::nullopt;
      l[i][j] = i == j ? std::sqrt(rest) : rest / l[j][j];
    }
    z[i] = n.right[at[i]];
    for (std::size_t k = 0; k < i; ++k) z[i] -= l[i][k] * z[k];
    z[i] /= l[i][i];
  }
  for (std::size_t i = at.size(); i-- > 0;) {
    double v = z[i];
    for (std::size_t k = i + 1; k < at.size(); ++k) v -= l[k][i] * solution[at[k]];
    solution[at[i]] = v / l[i][i];
  }
  return solution;
}

// Of three terms the non-negative optimum is the best of the subsets whose plain optimum has no term below 0.
std::optional<Terms> non_negative(const Normal& n, unsigned allowed) {
  std::optional<Terms> best;
  double least = 0;
  for (unsigned chosen = 1; chosen < 1u << terms; ++chosen) {
    if ((chosen & ~allowed) != 0) continue;
    const std::optional<Terms> c = solve(n, chosen);
    if (!c || std::any_of(c->begin(), c->end(), [](double v) { return v < 0; })) continue;
    double squares = n.squares;
    for (std::size_t a = 0; a < terms; ++a) squares -= (*c)[a] * n.right[a];  // at an optimum
    if (!best || squares < least) best = c, least = squares;
  }
  if (best)
    for (std::size_t a = 0; a < terms; ++a) (*best)[a] /= n.length[a] > 0 ? n.length[a] : 1;
  return best;
}

// Which terms can be told apart, in the order of the names: what goes with those before it is left out.
unsigned distinguishable(std::span<const Observation> rows, std::span<const double> weight, unsigned among = 7) {
  const Normal n = normal_equations(rows, weight);
  unsigned kept = 0;
  for (unsigned a = 0; a < terms; ++a)
    if ((among >> a & 1u) != 0 && n.length[a] > 0 && solve(n, kept | 1u << a)) kept |= 1u << a;
  return kept;
}

// A row's error is a tenth of what it is taken for (no such line is exact), and that of its measurement.
std::vector<double> weights(std::span<const Observation> rows, std::span<const double> size) {
  std::vector<double> w;
  for (std::size_t i = 0; i < rows.size(); ++i) w.push_back(1 / std::hypot(0.1 * size[i], rows[i].error));
  return w;
}

struct Fit {
  Terms c{};
  std::vector<double> weight;
};

// A row's size is first its share of the time, then what the fit says: never its own measured joules, which would favour rows
// that were measured too low.
std::optional<Fit> fit(std::span<const Observation> rows, std::optional<unsigned> allowed) {
  double seconds = 0, joules = 0;
  for (const Observation& o : rows) seconds += o.x[0], joules += o.joules;
  if (!(joules > 0)) return std::nullopt;
  std::vector<double> size;
  for (const Observation& o : rows) size.push_back(o.x[0] / seconds * joules);
  std::optional<Fit> found;
  for (int round = 0; round < 4; ++round) {
    std::vector<double> w = weights(rows, size);
    const std::optional<Terms> c = non_negative(normal_equations(rows, w), allowed ? *allowed : distinguishable(rows, w));
    if (!c) break;
    for (std::size_t i = 0; i < rows.size(); ++i) size[i] = std::max(rows[i].given + predicted(*c, rows[i].x), 1e-6 * joules);
    found = Fit{*c, std::move(w)};
  }
  return found;
}

double r_squared(std::span<const Observation> rows, const Terms& c) {
  std::vector<double> y;
  for (const Observation& o : rows) y.push_back(o.joules);
  const double centre = mean(y);
  double left = 0, all = 0;
  for (const Observation& o : rows)
    left += std::pow(o.joules - o.given - predicted(c, o.x), 2), all += std::pow(o.joules - centre, 2);
  return all > 0 ? 1 - left / all : std::nan("");
}

std::vector<Terms> resampled(const std::vector<Observation>& rows, unsigned kept) {
  std::vector<Terms> found;
  Rng rng(1);
  std::vector<Observation> drawn(rows.size());
  for (int i = 0; i < 1000; ++i) {
    for (Observation& o : drawn) o = rows[rng.below(rows.size())];
    if (const auto f = fit(drawn, kept)) found.push_back(f->c);
  }
  return found;
}

constexpr std::size_t fewest_resamples = 100;

// A row's largest term, where nineteen of twenty resamples agree on it.
std::string bound_of(const SiteRecord& row, const std::vector<Terms>& resamples, std::optional<double> idle_W) {
  constexpr std::array<const char*, terms> names{"static", "arithmetic", "memory"};
  constexpr double sure = 0.95;
  if (!row.time_ms || resamples.size() < fewest_resamples) return "";
  const Terms x = terms_of(row);
  std::array<std::size_t, terms> largest{};
  for (const Terms& c : resamples) {
    const Terms joules{(idle_W ? *idle_W : c[0]) * x[0], c[1] * x[1], c[2] * x[2]};
    ++largest[static_cast<std::size_t>(std::max_element(joules.begin(), joules.end()) - joules.begin())];
  }
  for (std::size_t a = 0; a < terms; ++a)
    if (static_cast<double>(largest[a]) >= sure * static_cast<double>(resamples.size())) return names[a];
  return "";
}

}  // namespace

std::optional<RooflineRecord> fit_roofline(std::span<SiteRecord> sites, std::optional<double> idle_W) {
  for (SiteRecord& row : sites) row.bound_by.clear();
  const std::vector<Observation> rows = observations(sites, idle_W.value_or(0));
  if (rows.size() < terms + 1) return std::nullopt;
  constexpr unsigned time = 1, all_terms = 7;
  const unsigned unknown = idle_W ? all_terms & ~time : all_terms;
  const std::optional<Fit> best = fit(rows, idle_W ? std::optional(unknown) : std::nullopt);
  if (!best) return std::nullopt;
  const unsigned kept = distinguishable(rows, best->weight, unknown);
  const std::vector<Terms> resamples = resampled(rows, kept);

  RooflineRecord record;
  const std::array<std::pair<Figure*, double>, terms> figures{
      {{&record.static_W, 1}, {&record.pJ_per_flop, 1e12}, {&record.pJ_per_byte, 1e12}}};
  bool told_apart = true;
  for (std::size_t a = 0; a < terms; ++a) {
    const auto& [figure, unit] = figures[a];
    figure->mean = best->c[a] * unit;
    if ((unknown >> a & 1u) == 0) {
      figure->mean = *idle_W;
      record.notes.emplace_back("static power is the idle power measured between the visits, with everything resident");
    } else if ((kept >> a & 1u) == 0) {
      record.notes.push_back(std::string(term_names[a]) + " cannot be told from the other terms in these rows, which carry it");
      told_apart = false;
    } else if (resamples.size() >= fewest_resamples) {
      std::vector<double> values;
      values.reserve(resamples.size());
      for (const Terms& c : resamples) values.push_back(c[a]);
      figure->ci95 = {percentile(values, 0.025) * unit, percentile(values, 0.975) * unit};
    }
  }
  record.r2 = r_squared(rows, best->c);
  if (told_apart)
    for (SiteRecord& row : sites) row.bound_by = bound_of(row, resamples, idle_W);
  return record;
}

}  // namespace eaq

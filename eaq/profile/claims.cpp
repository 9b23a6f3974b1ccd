#include "eaq/profile/claims.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "eaq/profile/roles.h"
#include "eaq/stats/stats.h"

namespace eaq {
namespace {

// A mean and the half-width of its 95 % interval; where there is none the half-width is infinite, so that nothing is shown.
struct Estimate {
  double mean = 0, half = 0;
  double low() const { return mean - half; }
  double high() const { return mean + half; }
};

Estimate estimate_of(const Figure& figure) {
  const double half = figure.ci95 ? (figure.ci95->second - figure.ci95->first) / 2 : INFINITY;
  return {figure.mean, std::isfinite(half) ? half : INFINITY};
}

// Whether a is above b: yes, no, or not shown. Different rows' errors are independent.
std::optional<bool> above(const Estimate& a, const Estimate& b) {
  const double half = std::hypot(a.half, b.half), difference = a.mean - b.mean;
  if (difference > half) return true;
  if (difference < -half) return false;
  return std::nullopt;
}

// Both, where one that fails is enough to say no.
std::optional<bool> both(std::optional<bool> a, std::optional<bool> b) {
  if ((a && !*a) || (b && !*b)) return false;
  return a && b ? std::optional(true) : std::nullopt;
}

std::optional<StudiedModel> model_of(const Profile& profile) {
  for (const SiteRecord& row : profile.sites) {
    if (row.site.starts_with("distilbert.")) return StudiedModel::distilbert;
    if (row.site.starts_with("transformer.h.")) return StudiedModel::gpt2;
  }
  return std::nullopt;
}

// What the rows of the profile say of a role: joules, and how much the answers owe to it.
class Evidence {
 public:
  explicit Evidence(const Profile& profile) : profile_(profile) {
    for (const SiteRecord& row : profile.sites) {
      if (eaq::joules_of(row)) add_joules(role_of(row), estimate_of(*eaq::joules_of(row)));
      if (row.ablation && std::isfinite(row.ablation->kl.mean)) ablated_ = true;
    }
    if (!ablated_) choose_format();
  }

  bool joules() const { return total_ > 0; }
  std::optional<Estimate> joules_of(Role role) const {
    const auto found = joules_.find(role);
    return found != joules_.end() ? std::optional(found->second) : std::nullopt;
  }
  std::string share(const std::string& name, const Estimate& e) const {
    return std::isfinite(e.half)
               ? fmt::format("{} {:.1f} % [{:.1f}, {:.1f}]", name, percent(e.mean), percent(e.low()), percent(e.high()))
               : fmt::format("{} {:.1f} %", name, percent(e.mean));
  }
  std::string share_of(Role role) const {
    const auto e = joules_of(role);
    return e ? share(std::string(name_of(role)), *e) : std::string(name_of(role)) + " has no joules of its own (fused)";
  }
  // Largest first: "of the joules: feed-forward 62.1 % [61, 63], attention ...".
  std::string shares() const {
    std::vector<std::pair<Role, Estimate>> order(joules_.begin(), joules_.end());
    std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.second.mean > b.second.mean; });
    std::string text;
    for (const auto& [role, e] : order) text += (text.empty() ? "of the joules: " : ", ") + share(std::string(name_of(role)), e);
    return text;
  }

  const ImpactRecord* impact_of(const SiteRecord& row) const {
    if (ablated_) return row.ablation && std::isfinite(row.ablation->kl.mean) ? &*row.ablation : nullptr;
    const auto found = row.impact.find(format_);
    return found != row.impact.end() && std::isfinite(found->second.kl.mean) ? &found->second : nullptr;
  }
  bool impacts() const { return ablated_ || !format_.empty(); }
  std::string by() const { return ablated_ ? "KL when it is ablated" : "KL when it alone is in " + format_; }

 private:
  double percent(double mJ) const { return mJ / total_ * 100; }
  void add_joules(Role role, const Estimate& e) {
    Estimate& sum = joules_[role];
    sum.mean += e.mean;
    sum.half = std::hypot(sum.half, e.half);
    total_ += e.mean;
  }
  // Without ablations the format that changes most speaks.
  void choose_format() {
    std::map<std::string, double> kl;
    for (const SiteRecord& row : profile_.sites)
      for (const auto& [format, impact] : row.impact)
        if (std::isfinite(impact.kl.mean)) kl[format] += impact.kl.mean;
    const auto most = std::max_element(kl.begin(), kl.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
    if (most != kl.end() && most->second > 0) format_ = most->first;
  }

  const Profile& profile_;
  std::map<Role, Estimate> joules_;
  double total_ = 0;
  bool ablated_ = false;
  std::string format_;
};

const std::string no_joules = "the profile has no joules";
const std::string no_impact = "the profile has no prediction impact";

// --- energy

ClaimRecord dominates(const Evidence& e, const std::string& claim, Role role) {
  if (!e.joules()) return not_testable(claim, no_joules);
  const auto own = e.joules_of(role);
  if (!own) return not_testable(claim, e.share_of(role));
  std::optional<bool> holds = true;
  for (const Role other : {Role::embeddings, Role::attention, Role::feed_forward, Role::norms, Role::residuals, Role::head})
    if (const auto theirs = e.joules_of(other); theirs && other != role) holds = both(holds, above(*own, *theirs));
  return judged(claim, holds, e.shares());
}

// Each of `low` below each of `high`.
ClaimRecord below(const Evidence& e, const std::string& claim, std::initializer_list<Role> low,
                  std::initializer_list<Role> high) {
  if (!e.joules()) return not_testable(claim, no_joules);
  std::optional<bool> holds = true;
  bool any = false;
  for (const Role l : low)
    for (const Role h : high) {
      const auto a = e.joules_of(l), b = e.joules_of(h);
      if (!a || !b) continue;  // fused into others, or none here
      any = true;
      holds = both(holds, above(*b, *a));
    }
  if (!any) return not_testable(claim, "none of these rows has joules of its own (fused into others)");
  return judged(claim, holds, e.shares());
}

// --- impact

struct Ranked {
  double kl = 0;
  bool chosen = false;
};

// How far up the chosen rows stand among all: the mean of rank / n. Its p-value, two-sided, by shuffles.
std::pair<double, double> standing(std::vector<Ranked> rows) {
  std::stable_sort(rows.begin(), rows.end(), [](const Ranked& a, const Ranked& b) { return a.kl < b.kl; });
  std::vector<double> ranks(rows.size());  // ties share theirs
  for (std::size_t i = 0; i < rows.size();) {
    std::size_t end = i + 1;
    while (end < rows.size() && rows[end].kl == rows[i].kl) ++end;
    std::fill(ranks.begin() + static_cast<std::ptrdiff_t>(i), ranks.begin() + static_cast<std::ptrdiff_t>(end),
              (static_cast<double>(i + end) - 1) / 2 + 0.5);
    i = end;
  }
  const auto n = static_cast<double>(rows.size());
  double sum = 0, count = 0;
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (rows[i].chosen) sum += ranks[i], ++count;
  const double centre = count * n / 2, off = std::abs(sum - centre);
  Rng rng(1);
  constexpr int shuffles = 4000;
  int as_far = 0;
  for (int s = 0; s < shuffles; ++s) {
    const std::vector<std::size_t> order = random_order(rows.size(), rng);
    double drawn = 0;
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) drawn += ranks[order[i]];
    as_far += std::abs(drawn - centre) >= off - 1e-9 ? 1 : 0;
  }
  return {sum / count / n, (as_far + 1.0) / (shuffles + 1.0)};
}

ClaimRecord stands(const Evidence& e, const std::string& claim, const Profile& profile, std::initializer_list<Role> roles,
                   bool high) {
  if (!e.impacts()) return not_testable(claim, no_impact);
  std::vector<Ranked> rows;
  std::size_t chosen = 0;
  for (const SiteRecord& row : profile.sites) {
    const ImpactRecord* impact = e.impact_of(row);
    if (impact == nullptr) continue;
    const bool in = std::find(roles.begin(), roles.end(), role_of(row)) != roles.end();
    rows.push_back({impact->kl.mean, in});
    chosen += in ? 1 : 0;
  }
  if (chosen == 0 || chosen == rows.size()) return not_testable(claim, "none of these rows has an impact of its own");
  const auto [place, p] = standing(rows);
  const std::string evidence =
      fmt::format("by {}, {} of {} rows stand on average above {:.0f} % of all ({})", e.by(), chosen, rows.size(), place * 100,
                  p < 0.001 ? std::string("p < 0.001") : fmt::format("p {:.3f}", p));
  return judged(claim, p < 0.05 ? std::optional((place > 0.5) == high) : std::nullopt, evidence);
}

// --- one row against every other

using Measure = std::function<std::optional<Estimate>(const SiteRecord&)>;

ClaimRecord highest_row(const std::string& claim, const Profile& profile, Role role, const Measure& of, const char* unit) {
  const SiteRecord *own = nullptr, *next = nullptr;
  const auto more = [&](const SiteRecord* a, const SiteRecord* b) { return b == nullptr || of(*a)->mean > of(*b)->mean; };
  for (const SiteRecord& row : profile.sites) {
    if (!of(row)) continue;
    const SiteRecord*& place = role_of(row) == role ? own : next;
    if (more(&row, place)) place = &row;
  }
  if (own == nullptr || next == nullptr) return not_testable(claim, "the rows have no such figure");
  const auto text = [&](const SiteRecord* row) {
    return fmt::format("{} {:.3g} {}{}", row->site, of(*row)->mean, unit,
                       std::isfinite(of(*row)->half) ? fmt::format(" \u00b1{:.3g}", of(*row)->half) : "");
  };
  return judged(claim, above(*of(*own), *of(*next)), text(own) + ", the highest other " + text(next));
}

// --- guidelines

ClaimRecord advised(const std::string& claim, const Profile& profile, const std::string& format,
                    std::initializer_list<Role> roles, const std::string& advice) {
  int same = 0, opposite = 0, open = 0;
  std::string others;
  for (const GuidelineRecord& g : profile.guidelines) {
    const auto row = std::find_if(profile.sites.begin(), profile.sites.end(),
                                  [&](const SiteRecord& s) { return group_of(s.site) == g.site_group; });
    if (g.format != format || row == profile.sites.end()) continue;
    if (std::find(roles.begin(), roles.end(), role_of(*row)) == roles.end()) continue;
    const bool fits = g.advice == advice, neither = g.advice == "no difference shown";
    (fits ? same : neither ? open : opposite) += 1;
    if (!fits && !neither) others += (others.empty() ? ": " : ", ") + g.site_group;
  }
  const std::string evidence =
      fmt::format("of {} groups {} say so, {} the opposite{}, {} neither", same + opposite + open, same, opposite, others, open);
  if (same + opposite + open == 0) return not_testable(claim, "the profile has no guidelines for them");
  if (opposite > 0) return contradicted(claim, evidence);
  return same > open ? confirmed(claim, evidence) : not_testable(claim, evidence);
}

// The study's two rules, which it found in fp16, in each format that there is advice for.
std::vector<ClaimRecord> rules(const Profile& profile) {
  std::vector<std::string> formats;
  for (const GuidelineRecord& g : profile.guidelines)
    if (std::find(formats.begin(), formats.end(), g.format) == formats.end()) formats.push_back(g.format);
  if (formats.empty()) formats.emplace_back("fp16");
  std::vector<ClaimRecord> claims;
  for (const std::string& format : formats) {
    claims.push_back(advised("Quantise feed-forward layers and attention (here to " + format + ")", profile, format,
                             {Role::feed_forward, Role::attention}, "quantise"));
    claims.push_back(advised("Keep embeddings, LayerNorm, classifier and LM head (here from " + format + ")", profile, format,
                             {Role::embeddings, Role::norms, Role::head}, "keep"));
  }
  return claims;
}

std::vector<ClaimRecord> of_distilbert(const Profile& p, const Evidence& e) {
  const std::string m = "DistilBERT: ";
  return {
      dominates(e, m + "the feed-forward layers dominate energy", Role::feed_forward),
      stands(e, m + "the feed-forward layers have low prediction impact", p, {Role::feed_forward}, false),
      below(e, m + "attention takes moderate energy: less than the feed-forward layers", {Role::attention}, {Role::feed_forward}),
      stands(e, m + "attention has low prediction impact", p, {Role::attention}, false),
      below(e, m + "embeddings and LayerNorm take low energy", {Role::embeddings, Role::norms},
            {Role::attention, Role::feed_forward}),
      stands(e, m + "embeddings and LayerNorm are of high importance", p, {Role::embeddings, Role::norms}, true)};
}

std::vector<ClaimRecord> of_gpt2(const Profile& p, const Evidence& e) {
  const std::string m = "GPT-2: ";
  const Measure joules = [](const SiteRecord& row) {
    return eaq::joules_of(row) ? std::optional(estimate_of(*eaq::joules_of(row))) : std::nullopt;
  };
  const Measure impact = [&](const SiteRecord& row) {
    const ImpactRecord* found = e.impact_of(row);
    return found != nullptr ? std::optional(estimate_of(found->kl)) : std::nullopt;
  };
  return {
      highest_row(m + "the LM head takes the most energy of all layers", p, Role::head, joules, "mJ"),
      highest_row(m + "the LM head has the highest prediction impact", p, Role::head, impact, "nats"),
      stands(e, m + "embeddings and LayerNorm have high impact", p, {Role::embeddings, Role::norms}, true),
      below(e, m + "residual connections take low energy", {Role::residuals}, {Role::attention, Role::feed_forward, Role::head}),
      stands(e, m + "residual connections have low impact", p, {Role::residuals}, false),
      not_testable(m + "dropout is low on both", "at inference dropout does nothing, and is no step here")};
}

}  // namespace

std::vector<ClaimRecord> compare_with_original(const Profile& profile, const Study* study) {
  const auto model = model_of(profile);
  const Evidence evidence(profile);
  std::vector<ClaimRecord> claims;
  const auto append = [&](std::vector<ClaimRecord> more) { claims.insert(claims.end(), more.begin(), more.end()); };
  for (const StudiedModel one : {StudiedModel::distilbert, StudiedModel::gpt2}) {
    std::vector<ClaimRecord> its =
        one == StudiedModel::distilbert ? of_distilbert(profile, evidence) : of_gpt2(profile, evidence);
    if (model != one)
      for (ClaimRecord& claim : its)
        claim = not_testable(claim.claim, "this is a profile of another model, " + profile.run.model);
    append(std::move(its));
  }
  if (model) append(rules(profile));
  if (study != nullptr) append(compare_with_original(*study));
  return claims;
}

}  // namespace eaq

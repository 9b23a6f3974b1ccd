#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "eaq/format/format.h"
#include "eaq/profile/findings.h"
#include "eaq/profile/roles.h"
#include "eaq/stats/stats.h"

namespace eaq {
namespace {

// Sums over a group's sites: they meet the same items, so their errors go together and ends add up to ends.
struct Sum {
  Interval value;
  bool bounded = true;  // every part has an interval
  void add(const Figure& figure, double widening) {
    value.mean += figure.mean;
    if (!figure.ci95 || !std::isfinite(figure.ci95->first) || !std::isfinite(figure.ci95->second)) {
      bounded = false;
      return;
    }
    value.low += figure.mean + (figure.ci95->first - figure.mean) * widening;
    value.high += figure.mean + (figure.ci95->second - figure.mean) * widening;
  }
  std::string text() const {
    return bounded ? fmt::format("{:.2g} [{:.2g}, {:.2g}]", value.mean, value.low, value.high)
                   : fmt::format("{:.2g} (no interval)", value.mean);
  }
};

// One group of sites in one format.
struct Case {
  std::string group, format;
  Rows rows;           // that are judged in the format
  std::size_t of = 0;  // sites that the group has
  Sum kl;
  std::optional<Sum> nll;
  std::optional<Interval> accuracy;  // of the site for which it says the worst
  bool accuracy_bounded = true;
  std::int64_t flips = 0, n = 0;
  bool emulated = false, classifies = false;
  std::string shares_with;  // the group that its weights are those of, too
  bool harmless = false;    // every interval ends within what the group may lose
};

std::optional<double> bits_of(const std::string& format) {
  const Format* found = find_entry(formats(), format);
  return found != nullptr ? std::optional(found->traits().bits_per_weight) : std::nullopt;
}

// Where both are known, a classifier is judged by its accuracy and a language model by its nll: a loss in what it is not for
// would be shown long before it matters.
bool counts_accuracy(const ImpactRecord& i, bool classifies) { return i.accuracy_delta && (classifies || !i.delta_nll); }
bool counts_nll(const ImpactRecord& i, bool classifies) { return i.delta_nll && (!classifies || !i.accuracy_delta); }

void judge(Case& one, double widening) {
  for (const SiteRecord* row : one.rows) {
    const ImpactRecord& impact = row->impact.at(one.format);
    one.kl.add(impact.kl, widening);
    if (counts_nll(impact, one.classifies)) {
      if (!one.nll) one.nll.emplace();
      one.nll->add(*impact.delta_nll, widening);
    }
    if (counts_accuracy(impact, one.classifies)) {
      Sum alone;
      alone.add(*impact.accuracy_delta, widening);
      one.accuracy_bounded = one.accuracy_bounded && alone.bounded;
      if (!one.accuracy || alone.value.low < one.accuracy->low) one.accuracy = alone.value;
    }
    one.flips += impact.flips;
    one.n = std::max(one.n, impact.n);
    one.emulated = one.emulated || impact.emulated;
  }
}

bool accuracy_is_lost(const Case& one, double widening) {
  return std::any_of(one.rows.begin(), one.rows.end(), [&](const SiteRecord* row) {
    const ImpactRecord& impact = row->impact.at(one.format);
    const auto& delta = impact.accuracy_delta;
    return counts_accuracy(impact, one.classifies) && delta->ci95 &&
           delta->mean + (delta->ci95->second - delta->mean) * widening < 0;
  });
}

// Mebibytes of the group's weights in fp32, which impact is against, and in the format, where it is known.
std::optional<std::pair<double, double>> sizes(const Case& one) {
  const std::optional<double> to = bits_of(one.format);
  if (!to) return std::nullopt;
  double parameters = 0;
  for (const SiteRecord* row : one.rows) parameters += static_cast<double>(row->parameters);
  return std::pair(parameters * 32 / 8 / 1048576, parameters * *to / 8 / 1048576);
}

bool is_harmless(const Case& one, double part, double widening) {
  return one.rows.size() == one.of && one.kl.bounded && (!one.nll || one.nll->bounded) && one.accuracy_bounded &&
         one.kl.value.high <= part && (!one.nll || one.nll->value.high <= part) &&
         (!one.accuracy || one.accuracy->low >= -accuracy_margin) && !accuracy_is_lost(one, widening);
}

struct Decision {
  const char* advice;
  std::string why;
};

// `partner`: whoever shares its weights, in the same format. Each alone would be stored beside the other.
Decision decide(const Case& one, const Case* partner, double part, double widening) {
  constexpr const char* open = "no difference shown";
  const auto size = sizes(one);
  if (one.harmless && one.emulated) return {open, "harmless, but no kernel of the format is here: nothing would be saved"};
  if (one.harmless && size && size->second >= size->first)
    return {open, "harmless, but it stores no fewer bytes and joules were measured in one format alone"};
  if (one.harmless && !one.shares_with.empty() && (partner == nullptr || !partner->harmless))
    return {open, "harmless, but " + one.shares_with + " has the same weights and would keep its own beside these"};
  if (one.harmless && !one.shares_with.empty())
    return {"quantise", "every interval ends within what the group may lose, together with " + one.shares_with +
                            ", which has the same weights"};
  if (one.harmless) return {"quantise", "every interval ends within what the group may lose"};
  const bool accuracy_lost = accuracy_is_lost(one, widening);
  if (accuracy_lost) return {"keep", "a loss of accuracy is shown"};
  if (one.nll && one.nll->bounded && one.nll->value.low > 0) return {"keep", "a loss of nll is shown, and it may be too large"};
  if (one.kl.bounded && one.kl.value.low > part) return {"keep", "its KL is shown to be beyond what the group may lose"};
  if (one.rows.size() < one.of) return {open, fmt::format("{} of {} sites were judged", one.rows.size(), one.of)};
  return {open, "no loss is shown, nor that it is small enough: more data would tell"};
}

std::string evidence(const Case& one, double part, const Decision& decision, bool joules) {
  double share = 0;
  bool shares = false;
  for (const SiteRecord* row : one.rows)
    if (row->share) share += *row->share, shares = true;
  std::string text = decision.why + ": ";
  text += one.rows.size() == 1 ? "1 site" : fmt::format("{} sites", one.rows.size());
  if (shares && share > 0) text += fmt::format(", {:.1f} % of the {}", share * 100, joules ? "joules" : "time");
  if (const auto size = sizes(one))
    text += fmt::format(", weights {:.3g} MiB instead of {:.3g} in fp32", size->second, size->first);
  text += fmt::format("; KL {} nats of {:.2g} allowed", one.kl.text(), part);
  if (one.nll) text += ", nll lost " + one.nll->text();
  if (one.accuracy)
    text += fmt::format(", accuracy at worst {:+.2f} points [{:+.2f}, {:+.2f}]", one.accuracy->mean * 100,
                        one.accuracy->low * 100, one.accuracy->high * 100);
  text += fmt::format(", {} flips of {}", one.flips, one.n);
  if (one.rows.size() > 1) text += fmt::format(" x {}", one.rows.size());
  if (one.emulated) text += "; emulated";
  return text;
}

// Groups whose weights are also another's, both ways, by the rows' own notes.
std::map<std::string, std::string> partners_of(const Profile& profile) {
  const std::string note = "shares its weights with ";
  std::map<std::string, std::string> partners;
  for (const SiteRecord& row : profile.sites)
    for (const std::string& n : row.notes)
      if (n.starts_with(note)) {
        const std::string here = group_of(row.site), there = group_of(n.substr(note.size()));
        partners[here] = there, partners[there] = here;
      }
  return partners;
}

std::vector<Case> cases_of(const Profile& profile) {
  const std::map<std::string, std::string> partners = partners_of(profile);
  std::set<std::string> all_formats;
  for (const SiteRecord& row : profile.sites)
    for (const auto& [format, impact] : row.impact)
      if (format != "fp32") all_formats.insert(format);  // what the others are held against
  std::vector<std::string> groups;
  for (const SiteRecord& row : profile.sites)
    if (!row.impact.empty() && std::find(groups.begin(), groups.end(), group_of(row.site)) == groups.end())
      groups.push_back(group_of(row.site));
  std::vector<Case> cases;
  for (const std::string& format : all_formats)
    for (const std::string& group : groups) {
      Case one{group, format, {}};
      one.classifies = profile.run.unit == "sentence";
      if (const auto partner = partners.find(group); partner != partners.end()) one.shares_with = partner->second;
      for (const SiteRecord& row : profile.sites) {
        if (group_of(row.site) != group) continue;
        if (row.parameters > 0) ++one.of;
        if (row.impact.contains(format)) one.rows.push_back(&row);
      }
      if (!one.rows.empty()) cases.push_back(std::move(one));
    }
  return cases;
}

}  // namespace

std::vector<GuidelineRecord> guidelines(const Profile& profile) {
  std::vector<Case> cases = cases_of(profile);
  if (cases.empty()) return {};
  const double widening =
      normal_quantile(1 - 0.025 / static_cast<double>(cases.size())) / normal_quantile(0.975);  // Bonferroni's level
  const bool joules =
      std::any_of(profile.sites.begin(), profile.sites.end(), [](const SiteRecord& s) { return joules_of(s).has_value(); });
  const auto part_of = [&](const Case& one) {
    const auto groups = std::count_if(cases.begin(), cases.end(), [&](const Case& c) { return c.format == one.format; });
    return whole_loss_nats / static_cast<double>(groups);
  };
  for (Case& one : cases) {
    judge(one, widening);
    one.harmless = is_harmless(one, part_of(one), widening);
  }
  std::vector<GuidelineRecord> advice;
  for (const Case& one : cases) {
    const auto partner = std::find_if(cases.begin(), cases.end(),
                                      [&](const Case& c) { return c.format == one.format && c.group == one.shares_with; });
    const Decision decision = decide(one, partner != cases.end() ? &*partner : nullptr, part_of(one), widening);
    advice.push_back({one.group, one.format, decision.advice, evidence(one, part_of(one), decision, joules)});
  }
  return advice;
}

}  // namespace eaq

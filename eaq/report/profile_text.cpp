#include <algorithm>
#include <cmath>
#include <map>

#include "eaq/report/numbers.h"
#include "eaq/report/profile_parts.h"
#include "eaq/report/report.h"
#include "eaq/report/style.h"
#include "eaq/report/table.h"
#include "eaq/report/text.h"

namespace eaq {
namespace {

using Lines = std::vector<std::string>;

std::string title_of(const Profile& profile) {
  const Run& run = profile.run;
  return run.model + " in " + run.format + ", part by part, on " + profile.manifest.device.name + " | " +
         (run.phase == "forward" ? "" : run.phase + ", ") + "batch " + std::to_string(run.batch) +
         (run.seq == 0 ? ", unpadded" : ", seq " + std::to_string(run.seq));
}

std::string method_of(const Profile& profile) {
  const ProtocolRecord& p = profile.manifest.protocol;
  std::string text = p.blocks ? timing_method(p) + " | " : "";
  const auto& energy = profile.run.energy;
  if (energy)
    text += "energy: " + energy->meter + ", " + energy->method + ", " + energy->label;
  else
    text += has_joules(profile) ? "energy: of the parts, none of the whole run (" + profile.run.energy_unavailable + ")"
                                : "energy: none";
  return text + " | per run of a whole batch";
}

std::string bracketed(const std::optional<std::pair<double, double>>& bounds, int decimals) {
  return bounds ? " [" + with_decimals(bounds->first, decimals) + "," + with_decimals(bounds->second, decimals) + "]" : "";
}

// --- whether it adds up

Lines additivity_lines(const Profile& profile) {
  Lines lines;
  for (const auto& [way, a] : profile.additivity) {
    std::string line = std::string("Sum of the parts ") + (way == "in_place" ? "in place" : "by " + way) + ": " +
                       with_margin(a.sum_mJ) + " mJ, the model " + with_margin(a.model_mJ) + ": " + signed_percent(a.error.mean) +
                       " %";
    if (a.error.ci95) line += " [" + signed_percent(a.error.ci95->first) + "," + signed_percent(a.error.ci95->second) + "]";
    lines.push_back(line + ".");
  }
  if (const std::string agreement = agreement_of_ways(profile); !agreement.empty()) lines.push_back(agreement);
  return lines;
}

Lines baseline_lines(const Profile& profile) {
  const std::string words = time_share_error(profile);
  return words.empty() ? Lines{} : Lines{words};
}

// --- conclusions

std::string coefficient(const Figure& f, const char* unit) {
  return (f.mean == 0 ? "0" : short_number(f.mean)) +
         (f.ci95 ? " [" + short_number(f.ci95->first) + "," + short_number(f.ci95->second) + "]" : "") + unit;
}

Lines roofline_lines(const Profile& profile) {
  if (!profile.roofline) return {};
  const RooflineRecord& r = *profile.roofline;
  std::map<std::string, int> bounds;
  int not_told = 0;
  for (const SiteRecord& row : profile.sites)
    if (!row.bound_by.empty())
      ++bounds[row.bound_by];
    else if (row.time_ms)
      ++not_told;
  std::string line = "Roofline: joules = " + coefficient(r.static_W, " W") + " x time + " + coefficient(r.pJ_per_flop, " pJ") +
                     " x flops + " + coefficient(r.pJ_per_byte, " pJ") + " x bytes, R2 " + with_decimals(r.r2, 3);
  std::string rows;
  for (const auto& [bound, count] : bounds)
    rows += (rows.empty() ? "; largest term: " : ", ") + bound + " in " + std::to_string(count);
  if (not_told > 0) rows += (rows.empty() ? "; largest term: " : ", ") + std::string("not told in ") + std::to_string(not_told);
  if (r.r2 < 0.5) rows += " (a poor fit: this says little)";
  Lines lines{line + rows + "."};
  for (const std::string& note : r.notes) lines.push_back("Roofline: " + note + ".");
  return lines;
}

struct NamedPair {
  std::string text;
  double strength = 0;
  bool shown = false;
  bool asks = false;  // do joules go where the answers are made?
};

NamedPair named_pair(const CorrelationRecord& c, std::size_t a, std::size_t b) {
  const double r = c.spearman[a][b];
  NamedPair pair{c.names[a] + " with " + c.names[b] + " " + with_decimals(r, 2), std::abs(r), false,
                 a == 0 && c.names[b].starts_with("kl ")};
  if (a >= c.spearman_ci95.size() || b >= c.spearman_ci95[a].size()) return pair;
  const auto& bounds = c.spearman_ci95[a][b];
  if (std::isfinite(bounds.first)) pair.text += bracketed(bounds, 2);
  pair.shown = bounds.first > 0 || bounds.second < 0;
  return pair;
}

// What costs goes with what matters? The pairs that answer it, strongest first.
Lines correlation_lines(const Profile& profile) {
  if (!profile.correlations) return {};
  const CorrelationRecord& c = *profile.correlations;
  const auto is_kl = [&](std::size_t i) { return c.names[i].starts_with("kl "); };
  std::vector<NamedPair> pairs;
  for (std::size_t a = 0; a < c.names.size(); ++a)
    for (std::size_t b = a + 1; b < c.names.size(); ++b) {
      const bool cost = c.names[a] == "mJ" || (c.names[a] == "time_ms" && c.names[0] != "mJ");
      if ((cost || (is_kl(b) && c.names[a] == "parameters")) && std::isfinite(c.spearman[a][b]))
        pairs.push_back(named_pair(c, a, b));
    }
  std::stable_sort(pairs.begin(), pairs.end(), [](const NamedPair& a, const NamedPair& b) { return a.strength > b.strength; });
  std::string shown, open;
  for (const NamedPair& pair : pairs)
    if (pair.shown || pair.asks) (pair.shown ? shown : open) += ((pair.shown ? shown : open).empty() ? "" : "; ") + pair.text;
  const std::string over = " (Spearman, " + std::to_string(c.n) + " parts with weights): ";
  Lines lines;
  if (!shown.empty()) lines.push_back("Go together" + over + shown + ".");
  if (!open.empty()) lines.push_back("Not shown to" + over + open + ".");
  return lines;
}

std::string coloured(const std::string& verdict) {
  if (verdict == "quantise" || verdict == "confirmed") return good(verdict);
  if (verdict == "keep" || verdict == "contradicted") return bad(verdict);
  return verdict;
}

// One line a format: its groups by advice, with their share.
Lines guideline_lines(const Profile& profile) {
  const std::vector<PartGroup> groups = part_groups(profile);
  std::map<std::string, std::map<std::string, std::string>> names;
  std::map<std::string, double> saved;
  for (const GuidelineRecord& g : profile.guidelines) {
    const auto part = std::find_if(groups.begin(), groups.end(), [&](const PartGroup& p) { return p.name == g.site_group; });
    std::string& list = names[g.format][g.advice];
    list.append(list.empty() ? "" : ", ").append(part != groups.end() ? part->label : g.site_group);
    if (g.advice == "quantise" && part != groups.end()) saved[g.format] += share_of(*part);
  }
  Lines lines;
  for (const auto& [format, by_advice] : names) {
    std::string line;
    for (const char* advice : {"quantise", "keep", "no difference shown"}) {
      const auto found = by_advice.find(advice);
      if (found == by_advice.end()) continue;
      line.append(line.empty() ? "" : "; ").append(coloured(advice)).append(": ").append(found->second);
      if (std::string(advice) == "quantise" && saved[format] > 0)
        line += " (" + with_decimals(saved[format] * 100, 0) + " % of the " + (has_joules(profile) ? "joules" : "time") + ")";
    }
    lines.push_back(bold(format).append(" ").append(line));
  }
  return lines;
}

// Claims that cannot be tested for one reason are one line.
Lines claim_lines(const Profile& profile) {
  Lines lines;
  std::vector<std::pair<std::string, int>> reasons;
  for (const ClaimRecord& c : profile.claims) {
    if (c.verdict != "not testable here") {
      lines.push_back(coloured(c.verdict) + ": " + c.claim + " (" + c.evidence + ")");
      continue;
    }
    const auto same = std::find_if(reasons.begin(), reasons.end(), [&](const auto& r) { return r.first == c.evidence; });
    if (same != reasons.end())
      ++same->second;
    else
      reasons.emplace_back(c.evidence, 1);
  }
  for (const auto& [reason, count] : reasons) {
    std::string claim = std::to_string(count) + " claims";
    if (count == 1)
      claim = std::find_if(profile.claims.begin(), profile.claims.end(), [&, why = reason](const ClaimRecord& c) {
                return c.verdict == "not testable here" && c.evidence == why;
              })->claim;
    lines.emplace_back("not testable here: ").append(claim).append(" (").append(reason).append(")");
  }
  return lines;
}

// --- what else is to be known

std::string fused_line(const Profile& profile) {
  std::string text;
  for (const PartGroup& part : part_groups(profile)) {
    std::string into;
    for (const SiteRecord* row : part.rows)
      if (!row->fused_into.empty() && into.empty()) into = group_of(row->fused_into);
    if (into.empty()) continue;
    for (const PartGroup& host : part_groups(profile))
      if (host.name == into) into = host.label;
    text += (text.empty() ? "" : ", ") + part.label + " (in " + into + ")";
  }
  return text.empty() ? "" : "One step with another, and counted there: " + text + ".";
}

Lines closing(const Profile& profile) {
  Lines lines;
  if (const std::string fused = fused_line(profile); !fused.empty()) lines.push_back(fused);
  lines.emplace_back(steps_within_steps);
  if (profile.manifest.protocol.name == "profile-unfused") lines.emplace_back(without_fusions);
  const std::vector<std::string> formats = impact_formats(profile);
  const bool emulated = std::any_of(profile.sites.begin(), profile.sites.end(), [](const SiteRecord& row) {
    return std::any_of(row.impact.begin(), row.impact.end(), [](const auto& one) { return one.second.emulated; });
  });
  if (emulated) lines.emplace_back("~ emulated: the format's values by another format's products; no kernel of it is here.");
  lines.insert(lines.end(), profile.run.notes.begin(), profile.run.notes.end());
  for (const Refused& r : profile.refused) lines.push_back("Refused: " + r.format + " (" + r.model + "): " + r.reason);
  if (!has_joules(profile)) {
    std::string why = profile.manifest.no_meter.empty() ? profile.run.energy_unavailable : profile.manifest.no_meter;
    if (why.find("--assume-watts") == std::string::npos && why.find("To see joules") == std::string::npos)
      why += std::string(why.empty() ? "" : ". ") + "To see joules: --assume-watts 65 (the machine's power, as you state it)";
    lines.push_back("No joules: " + why);
  }
  if (profile.interrupted) lines.emplace_back("Interrupted: this is what had been measured until then.");
  return lines;
}

Lines all_of(std::initializer_list<Lines> lists) {
  Lines all;
  for (const Lines& list : lists) all.insert(all.end(), list.begin(), list.end());
  return all;
}

std::string whole_line(const Profile& profile) {
  std::string text;
  if (profile.run.latency_ms) text += with_margin(profile.run.latency_ms->ms) + " ms";
  const auto model = profile.additivity.empty() ? profile.additivity.end() : profile.additivity.begin();
  if (model != profile.additivity.end()) text += (text.empty() ? "" : ", ") + with_margin(model->second.model_mJ) + " mJ";
  return text.empty() ? "" : "The whole model: " + text + ".";
}

// --- Markdown

std::string section(const std::string& name, const std::string& body) {
  return body.empty() ? "" : "## " + name + "\n\n" + body + "\n";
}

std::string list_of(const Lines& lines) {
  std::string text;
  for (const std::string& line : lines) text += "- " + line + "\n";
  return text;
}

std::string matrix(const CorrelationRecord& c, const std::string& name, const std::vector<std::vector<double>>& values,
                   const std::vector<std::vector<std::pair<double, double>>>& bounds) {
  TableText table;
  table.title = name + ", " + std::to_string(c.n) + " parts";
  table.header = {""};
  table.header.insert(table.header.end(), c.names.begin(), c.names.end());
  for (std::size_t a = 0; a < values.size(); ++a) {
    table.rows.push_back({c.names[a]});
    for (std::size_t b = 0; b < values[a].size(); ++b) {
      std::string cell = std::isfinite(values[a][b]) ? with_decimals(values[a][b], 2) : "-";
      if (a != b && a < bounds.size() && b < bounds[a].size() && std::isfinite(bounds[a][b].first))
        cell += bracketed(bounds[a][b], 2);
      table.rows.back().push_back(cell);
    }
  }
  return markdown_table(table);
}

std::string correlations_markdown(const Profile& profile) {
  const CorrelationRecord& c = *profile.correlations;
  return matrix(c, "Spearman", c.spearman, c.spearman_ci95) + "\n" + matrix(c, "Pearson", c.pearson, c.pearson_ci95);
}

std::string guidelines_markdown(const Profile& profile) {
  if (profile.guidelines.empty()) return "";
  TableText table;
  table.of_words = true;
  table.header = {"group", "format", "advice", "evidence"};
  for (const GuidelineRecord& g : profile.guidelines) table.rows.push_back({g.site_group, g.format, g.advice, g.evidence});
  return markdown_table(table);
}

std::string table_or_nothing(const TableText& table) { return table.rows.empty() ? "" : markdown_table(table); }

}  // namespace

std::string screen_profile(const Profile& profile) {
  TableText groups = group_table(profile);
  groups.title = title_of(profile);
  groups.method = method_of(profile);
  std::string text = screen_table(groups);
  const auto lines = [&](const std::string& heading, const Lines& all) {
    if (all.empty()) return;
    text += "\n" + (heading.empty() ? "" : bold(heading) + "\n");
    for (const std::string& line : all) text += wrapped(line, "  ");
  };
  const auto table = [&](const std::string& heading, TableText one) {
    if (one.rows.empty()) return;
    one.title = heading;
    text += "\n" + screen_table(one);
  };
  const bool grouped = std::any_of(groups.header.begin(), groups.header.end(), [](const std::string& h) { return h == "n"; });
  if (grouped) table("The ten most expensive", dearest_table(profile, 10));
  table("KL when one site alone is changed, nats, mean over a group's sites", impact_table(profile));
  const std::string whole = whole_line(profile);
  lines("", all_of({whole.empty() ? Lines{} : Lines{whole}, additivity_lines(profile), baseline_lines(profile),
                    roofline_lines(profile), correlation_lines(profile)}));
  lines("Guidelines (evidence in profile.md)", guideline_lines(profile));
  lines("The original study's claims", claim_lines(profile));
  lines("", closing(profile));
  return text;
}

std::string markdown_profile(const Profile& profile) {
  TableText groups = group_table(profile);
  groups.title = title_of(profile);
  groups.method = method_of(profile) + ". " + whole_line(profile);
  std::string text = "# eaq profile\n\n" + markdown_table(groups) + "\n";
  text += section("Whether it adds up",
                  list_of(all_of({additivity_lines(profile), baseline_lines(profile), roofline_lines(profile)})));
  text += section("What the answers owe to each part", table_or_nothing(impact_table(profile)));
  text += section("Guidelines", guidelines_markdown(profile));
  text += section("The original study's claims", claims_markdown(profile.claims));
  if (profile.correlations)
    text += section("Correlations", list_of(correlation_lines(profile)) + "\n" + correlations_markdown(profile));
  text += section("Every part", table_or_nothing(row_table(profile)));
  text += section("To be known", list_of(closing(profile)));
  text += provenance(profile.manifest).substr(1);
  return text +
         "\nIntervals hold 95 %. Time, joules, flops and bytes are per run of a whole batch. \"By time\" is what a part's share "
         "of the "
         "time, of the whole model's joules, would say, and how far that is off. A group's interval takes its rows' errors as "
         "independent. KL is KL(as it was || changed), mean per predicted token or sentence.\n";
}

}  // namespace eaq

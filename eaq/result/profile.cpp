#include <algorithm>

#include "eaq/result/written.h"

namespace eaq {
namespace written {

template <class A>
void fields(A& a, ImpactRecord& i) {
  a("n", i.n);
  a("kl", i.kl.mean);
  a("ci95", i.kl.ci95);
  a("flips", i.flips);
  a.flat("delta_nll", i.delta_nll);
  a.flat("accuracy_delta", i.accuracy_delta);
  a("emulated", i.emulated);
}

template <class A>
void fields(A& a, SiteRecord& s) {
  a("site", s.site);
  a("kind", s.kind);
  a("format", s.format);
  a.reason("fused_into", s.fused_into);
  a("parameters", s.parameters);
  a("bytes", s.bytes);
  a("flops", s.flops);
  a.flat("time_ms", s.time_ms);
  a.flat("mJ", s.mJ);
  a.flat("mJ_in_place", s.mJ_in_place);
  a("mJ_time_share", s.mJ_time_share);
  a("share", s.share);
  a.reason("bound_by", s.bound_by);
  a("impact", s.impact);
  a("ablation", s.ablation);
  a.some("notes", s.notes);
}

template <class A>
void fields(A& a, AdditivityRecord& r) {
  a("sum_mJ", r.sum_mJ.mean);
  a("sum_mJ_ci95", r.sum_mJ.ci95);
  a("model_mJ", r.model_mJ.mean);
  a("model_mJ_ci95", r.model_mJ.ci95);
  a("error", r.error.mean);
  a("ci95", r.error.ci95);
}

template <class A>
void fields(A& a, RooflineRecord& r) {
  a("static_W", r.static_W);
  a("pJ_per_flop", r.pJ_per_flop);
  a("pJ_per_byte", r.pJ_per_byte);
  a("r2", r.r2);
  a.some("notes", r.notes);
}

template <class A>
void fields(A& a, CorrelationRecord& c) {
  a("names", c.names);
  a("n", c.n);
  a("pearson", c.pearson);
  a("pearson_ci95", c.pearson_ci95);
  a("spearman", c.spearman);
  a("spearman_ci95", c.spearman_ci95);
}

template <class A>
void fields(A& a, GuidelineRecord& g) {
  a("site_group", g.site_group);
  a("format", g.format);
  a("advice", g.advice);
  a("evidence", g.evidence);
}

template <class A>
void fields(A& a, PartRecord& p) {
  a("what", p.what);
  a("eaq", p.eaq);
  a("commit", p.commit);
  a("started", p.started);
  a("seconds", p.seconds);
  a("device", p.device);
  a("command", p.command);
}

template <class A>
void fields(A& a, Profile& p) {
  a.schema("eaq.profile/1");
  a("interrupted", p.interrupted);
  a("manifest", p.manifest);
  a.some("parts", p.parts);
  a("run", p.run);
  a("sites", p.sites);
  a("additivity", p.additivity);
  a("roofline", p.roofline);
  a("correlations", p.correlations);
  a("guidelines", p.guidelines);
  a("claims", p.claims);
  a("refused", p.refused);
}

}  // namespace written

std::string group_of(std::string_view site) {
  std::string group;
  for (std::size_t begin = 0; begin <= site.size();) {
    const std::size_t end = std::min(site.find('.', begin), site.size());
    const std::string_view part = site.substr(begin, end - begin);
    const bool number = !part.empty() && part.find_first_not_of("0123456789") == part.npos;
    group += (begin == 0 ? "" : ".") + std::string(number ? "*" : part);
    begin = end + 1;
  }
  return group;
}

std::string to_json(const Profile& profile) { return written::Writer::to(profile).dump(2) + "\n"; }

Profile profile_from_json(std::string_view text, std::string_view name) {
  const Json json = parse_json(text, name);
  Profile profile;
  written::Reader reader(json, name);
  written::fields(reader, profile);
  return profile;
}

Profile read_profile(const std::filesystem::path& path) { return profile_from_json(read_text(path), path.string()); }

std::string schema_of(std::string_view text, std::string_view name) {
  const Json json = parse_json(text, name);
  if (!json.is_object()) throw Error(ErrorKind::input, printable(name) + ": not a JSON object");
  return get_or<std::string>(json, "schema", name, "");
}

}  // namespace eaq

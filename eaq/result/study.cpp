#include "eaq/result/written.h"

namespace eaq {
namespace written {

template <class A>
void fields(A& a, Comparison& c) {
  a("model", c.model);
  a("a", c.a);
  a("b", c.b);
  a("phase", c.phase);
  a("batch", c.batch);
  a("seq", c.seq);
  a("energy_ratio", c.energy_ratio);
  a("energy_p", c.energy_p);
  a("speedup", c.speedup);
  a("speedup_p", c.speedup_p);
  a("quality_delta", c.quality_delta);
  a("p_value", c.p_value);
  a.reason("test", c.test);
}

template <class A>
void fields(A& a, Study& s) {
  a.schema("eaq.study/1");
  a("interrupted", s.interrupted);
  a("manifest", s.manifest);
  a("runs", s.runs);
  a("refused", s.refused);
  a("comparisons", s.comparisons);
  a.some("claims", s.claims);
}

}  // namespace written

std::string combined_hash(const std::vector<std::pair<std::string, std::string>>& names_and_hashes) {
  if (names_and_hashes.empty()) return "";
  if (names_and_hashes.size() == 1) return names_and_hashes.front().second;
  std::string lines;
  for (const auto& [name, hash] : names_and_hashes) lines.append(hash).append("  ").append(name).append("\n");
  return "sha256:" + sha256(lines);
}

std::string to_json(const Study& study) { return written::Writer::to(study).dump(2) + "\n"; }
std::string to_json(const Run& run) { return written::Writer::to(run).dump(2) + "\n"; }

Study study_from_json(std::string_view text, std::string_view name) {
  const Json json = parse_json(text, name);
  Study study;
  written::Reader reader(json, name);
  fields(reader, study);
  return study;
}

Study read_study(const std::filesystem::path& path) { return study_from_json(read_text(path), path.string()); }

}  // namespace eaq

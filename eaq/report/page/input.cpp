#include <algorithm>
#include <cmath>
#include <map>

#include "eaq/base/base.h"
#include "eaq/measure/measure.h"
#include "eaq/report/page/sections.h"

namespace eaq {
namespace {

// Powers as the sensor gave them; of a counter alone, its rise from edge to edge over the time between.
std::vector<Curve::Point> watts_of(const ZoneRecord& zone) {
  std::vector<Curve::Point> points;
  for (const Sample& sample : zone.samples)
    if (sample.power) points.push_back({sample.time.value(), sample.power->value()});
  if (!points.empty()) return points;
  const Sample* before = nullptr;
  for (const Sample& sample : zone.samples) {
    if (!sample.energy) {
      before = nullptr;  // a fault: nothing is known of what lies across it
      continue;
    }
    // A counter that went back has wrapped or was set anew.
    if (before != nullptr && sample.time > before->time && *sample.energy >= *before->energy)
      points.push_back({before->time.value(), ((*sample.energy - *before->energy) / (sample.time - before->time)).value()});
    before = &sample;
  }
  return points;
}

std::vector<PowerTrace> traces_of(const SampleRecord& samples) {
  std::vector<PowerTrace> traces;
  for (const ZoneRecord& zone : samples.zones) {
    PowerTrace trace{zone.name, std::string(name_of(zone.label)), page::thinned(watts_of(zone), page::points_of_a_trace)};
    if (trace.watts.size() > 1) traces.push_back(std::move(trace));
  }
  return traces;
}

std::vector<PowerVisit> visits_of(std::span<const Visit> visits) {
  std::vector<PowerVisit> all;
  all.reserve(visits.size());
  for (const Visit& visit : visits) {
    const double length = (visit.end - visit.start).value();
    std::optional<double> watts;
    if (visit.joules && length > 0 && visit.void_reason.empty()) watts = visit.joules->value() / length;
    all.push_back({visit.start.value(), visit.end.value(), visit.model, visit.format, visit.phase, watts});
  }
  return all;
}

constexpr const char* no_zone = "no meter gave a power or a counter";

void add_traces(PageInput& input, const std::string& way, const SampleRecord& samples) {
  for (PowerTrace& trace : traces_of(samples)) {
    trace.zone += ", " + way;
    input.power.push_back(std::move(trace));
  }
}

// samples-WAY.csv.zst, in the order of their names.
std::vector<std::pair<std::string, std::filesystem::path>> samples_of_ways(const std::filesystem::path& folder) {
  const std::string begin = "samples-", end = ".csv.zst";
  std::vector<std::pair<std::string, std::filesystem::path>> found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder.empty() ? "." : folder, error)) {
    const std::string name = entry.path().filename().string();
    if (name.size() > begin.size() + end.size() && name.starts_with(begin) && name.ends_with(end))
      found.emplace_back(name.substr(begin.size(), name.size() - begin.size() - end.size()), entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::filesystem::path result_in(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_directory(path, error)) return path;
  for (const char* name : {"study.json", "profile.json"})
    if (std::filesystem::exists(path / name, error)) return path / name;
  throw Error(ErrorKind::input, printable(path.string()) + ": holds neither study.json nor profile.json");
}

}  // namespace

namespace page {

std::vector<Curve::Point> thinned(const std::vector<Curve::Point>& points, std::size_t most) {
  if (points.size() <= most) return points;
  std::vector<Curve::Point> kept;
  const std::size_t stretches = most / 2;
  for (std::size_t s = 0; s < stretches; ++s) {
    const auto begin = points.begin() + static_cast<std::ptrdiff_t>(s * points.size() / stretches);
    const auto end = points.begin() + static_cast<std::ptrdiff_t>((s + 1) * points.size() / stretches);
    auto [least, largest] =
        std::minmax_element(begin, end, [](const Curve::Point& a, const Curve::Point& b) { return a.value < b.value; });
    if (largest < least) std::swap(least, largest);
    kept.push_back(*least);
    if (largest != least) kept.push_back(*largest);
  }
  return kept;
}

}  // namespace page

PageInput page_input(std::string name, const Study& study, const SampleRecord& samples, std::span<const Visit> visits) {
  PageInput input{std::move(name), study, traces_of(samples), visits_of(visits), ""};
  if (input.power.empty()) input.no_power = no_zone;
  return input;
}

PageInput page_input(std::string name, const Profile& profile, const std::filesystem::path& folder) {
  PageInput input{std::move(name), profile, {}, {}, no_zone};
  const auto ways = samples_of_ways(folder);
  for (const auto& [way, samples] : ways) add_traces(input, printable(way), read_samples(samples));
  if (ways.empty() && !profile.manifest.meters.empty())
    input.no_power = "the samples (samples-WAY.csv.zst) are not beside the result";
  return input;
}

PageInput read_page_input(const std::filesystem::path& path) {
  const std::filesystem::path file = result_in(path);
  const std::string name = printable(file.string());
  const std::string text = read_text(file, std::uint64_t{256} << 20);
  const std::string schema = schema_of(text, name);
  const std::filesystem::path folder = file.parent_path();
  if (schema == "eaq.profile/1") return page_input(name, profile_from_json(text, name), folder);
  PageInput input{name, study_from_json(text, name), {}, {}, no_zone};  // which says what is wrong with any other
  std::error_code error;
  if (std::filesystem::exists(folder / "visits.csv", error)) input.visits = visits_of(read_visits(folder / "visits.csv"));
  if (std::filesystem::exists(folder / "samples.csv.zst", error))
    input.power = traces_of(read_samples(folder / "samples.csv.zst"));
  else
    input.no_power = "the samples (samples.csv.zst) are not beside the result";
  return input;
}

}  // namespace eaq

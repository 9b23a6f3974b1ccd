#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <tuple>

#include "eaq/measure/measure.h"

namespace eaq {
namespace {

constexpr std::string_view visits_header =
    "block,position,model,format,phase,start_s,end_s,iterations,joules,edges,temperature_C,clock_MHz,void";
constexpr std::size_t visit_cells = 13;

// The shortest text that reads back as the same double.
std::string exact(double value) {
  char text[40];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

template <class T>
std::string cell(const std::optional<T>& value) {
  return value ? exact(value->value()) : std::string();
}

std::string quoted(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? "\"\"" : c == '\n' || c == '\r' ? std::string(" ") : std::string(1, c);
  return out + '"';
}

std::vector<std::string> split(std::string_view line) {
  std::vector<std::string> cells(1);
  bool inside = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (inside && c == '"' && i + 1 < line.size() && line[i + 1] == '"')
      cells.back() += line[i++];
    else if (c == '"')
      inside = !inside;
    else if (c == ',' && !inside)
      cells.emplace_back();
    else
      cells.back() += c;
  }
  return cells;
}

class VisitReader {
 public:
  explicit VisitReader(const std::filesystem::path& path) : name_(printable(path.string())), text_(read_text(path)) {}

  std::vector<Visit> read() {
    std::string_view rest = text_;
    std::vector<Visit> visits;
    while (!rest.empty()) {
      const auto end = rest.find('\n');
      const std::string_view line = rest.substr(0, end);
      rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
      if (++line_ > 1)
        visits.push_back(row(split(line)));
      else if (line != visits_header)
        fail("the header is '" + std::string(visits_header) + "'");
    }
    if (line_ == 0) fail("is empty");
    return visits;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(ErrorKind::input, name_ + ": line " + std::to_string(line_) + ": " + what);
  }
  template <class T>
  T number(const std::string& text) const {
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) fail("'" + printable(text) + "' is not a number");
    return value;
  }
  template <class T>
  std::optional<T> optional(const std::string& text) const {
    return text.empty() ? std::nullopt : std::optional(T(number<double>(text)));
  }

  Visit row(const std::vector<std::string>& c) {
    if (c.size() != visit_cells)
      fail("has " + std::to_string(c.size()) + " cells, and the header names " + std::to_string(visit_cells));
    Visit v;
    v.block = number<int>(c[0]);
    v.position = number<int>(c[1]);
    v.model = c[2];
    v.format = c[3];
    v.phase = c[4];
    v.start = Seconds(number<double>(c[5]));
    v.end = Seconds(number<double>(c[6]));
    v.iterations = number<std::int64_t>(c[7]);
    v.joules = optional<Joules>(c[8]);
    v.edges = number<std::int64_t>(c[9]);
    v.temperature = optional<Celsius>(c[10]);
    if (const auto megahertz = optional<Hertz>(c[11])) v.clock = *megahertz * 1e6;
    v.void_reason = c[12];
    v.workload = idle_workload;
    if (!(v.format == "idle" && v.model.empty()))
      v.workload = numbers_.emplace(std::tuple(v.model, v.format, v.phase), numbers_.size()).first->second;
    return v;
  }

  std::string name_, text_;
  int line_ = 0;
  std::map<std::tuple<std::string, std::string, std::string>, std::size_t> numbers_;
};

}  // namespace

void write_samples(const std::filesystem::path& path, const SampleRecord& record) {
  // Rows of all zones in order of time, as a recording has them.
  std::vector<std::pair<const ZoneRecord*, const Sample*>> rows;
  for (const ZoneRecord& zone : record.zones)
    for (const Sample& sample : zone.samples) rows.emplace_back(&zone, &sample);
  std::stable_sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.second->time < b.second->time; });
  std::string text = "t_s,zone,joules,watts\n";
  for (const auto& [zone, sample] : rows)
    text += exact(sample->time.value()) + ',' + zone->name + ',' + cell(sample->energy) + ',' + cell(sample->power) + '\n';
  write_text(path, path.extension() == ".zst" ? zstd_compressed(text) : text);
}

SampleRecord read_samples(const std::filesystem::path& path) {
  SampleRecord record;
  for (const RecordingRow& row : read_recording(path)) {
    auto at = std::find_if(record.zones.begin(), record.zones.end(), [&](const ZoneRecord& z) { return z.name == row.zone; });
    if (at == record.zones.end()) {
      record.zones.push_back({row.zone, {.name = row.zone}, MeterLabel::replayed, "replay", {}});
      at = record.zones.end() - 1;
    }
    at->zone.counter = at->zone.counter || row.energy.has_value();
    const bool failed = !row.energy && !row.power;
    at->samples.push_back(
        {row.time, row.energy, row.power, failed ? Fault::gap : Fault::none, failed ? "a failed read in the record" : ""});
  }
  return record;
}

void write_visits(const std::filesystem::path& path, std::span<const Visit> visits) {
  std::string text = std::string(visits_header) + '\n';
  for (const Visit& v : visits) {
    const std::string megahertz = v.clock ? exact(v.clock->value() / 1e6) : std::string();
    text += std::to_string(v.block) + ',' + std::to_string(v.position) + ',' + quoted(v.model) + ',' + quoted(v.format) + ',' +
            quoted(v.phase) + ',' + exact(v.start.value()) + ',' + exact(v.end.value()) + ',' + std::to_string(v.iterations) +
            ',' + cell(v.joules) + ',' + std::to_string(v.edges) + ',' + cell(v.temperature) + ',' + megahertz + ',' +
            quoted(v.void_reason) + '\n';
  }
  write_text(path, text);
}

std::vector<Visit> read_visits(const std::filesystem::path& path) { return VisitReader(path).read(); }

}  // namespace eaq

#include <charconv>
#include <cmath>
#include <limits>

#include "eaq/meter/meter.h"

namespace eaq {
namespace {

constexpr std::string_view header = "t_s,zone,joules,watts";

class Lines {
 public:
  Lines(std::string_view text, std::string name) : rest_(text), name_(std::move(name)) {}

  bool next(std::string_view& line) {
    if (rest_.empty()) return false;
    const auto end = rest_.find('\n');
    line = rest_.substr(0, end);
    rest_ = end == std::string_view::npos ? std::string_view() : rest_.substr(end + 1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    ++number_;
    return true;
  }
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(ErrorKind::input, name_ + ": line " + std::to_string(number_) + ": " + what);
  }

 private:
  std::string_view rest_;
  std::string name_;
  int number_ = 0;
};

std::optional<double> number(std::string_view cell, std::string_view column, const Lines& at) {
  if (cell.empty()) return std::nullopt;
  double value = 0;
  const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
  if (error != std::errc() || end != cell.data() + cell.size() || !std::isfinite(value))
    at.fail(std::string(column) + " is '" + printable(cell) + "', not a finite number");
  return value;
}

RecordingRow parse_row(std::string_view line, const Lines& at) {
  std::string_view cells[4];
  std::size_t count = 0;
  for (std::string_view rest = line;; ++count) {
    const auto comma = rest.find(',');
    if (count < 4) cells[count] = rest.substr(0, comma);
    if (comma == std::string_view::npos) break;
    rest = rest.substr(comma + 1);
  }
  if (++count != 4) at.fail("has " + std::to_string(count) + " cells, and the header names 4");
  const auto time = number(cells[0], "t_s", at);
  if (!time) at.fail("t_s is empty");
  if (cells[1].empty()) at.fail("the zone has no name");
  RecordingRow row{Seconds(*time), std::string(cells[1]), std::nullopt, std::nullopt};
  if (const auto joules = number(cells[2], "joules", at)) row.energy = Joules(*joules);
  if (const auto watts = number(cells[3], "watts", at)) row.power = Watts(*watts);
  return row;
}

}  // namespace

std::vector<RecordingRow> read_recording(const std::filesystem::path& path) {
  const std::string name = printable(path.string());
  std::string text = read_text(path);
  if (path.extension() == ".zst") text = zstd_decompressed(text, name);
  Lines lines(text, name);
  std::string_view line;
  if (!lines.next(line) || line != header)
    throw Error(ErrorKind::input, name + ": line 1: a recording begins with the header '" + std::string(header) + "'");
  std::vector<RecordingRow> rows;
  Seconds latest(-std::numeric_limits<double>::infinity());
  while (lines.next(line)) {
    rows.push_back(parse_row(line, lines));
    if (rows.back().time < latest)
      lines.fail("time runs backwards, from " + std::to_string(latest.value()) + " to " +
                 std::to_string(rows.back().time.value()) + " s");
    latest = rows.back().time;
  }
  if (rows.empty()) throw Error(ErrorKind::input, name + ": no row after the header");
  return rows;
}

}  // namespace eaq

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <optional>

#include "eaq/report/report.h"

namespace eaq {
namespace {

constexpr int columns = 64, rows = 6, eighths = 8, margin = 11;  // together at most 76 wide
constexpr std::array<const char*, eighths + 1> blocks{" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};

// Mean over [from, to] of what holds from each point to the next; nothing before the first.
std::optional<double> mean_of(const std::vector<Curve::Point>& points, double from, double to) {
  double sum = 0, length = 0;
  for (std::size_t i = 0; i < points.size(); ++i) {
    const double begin = std::max(from, points[i].time), end = i + 1 < points.size() ? std::min(to, points[i + 1].time) : to;
    if (end <= begin) continue;
    sum += points[i].value * (end - begin);
    length += end - begin;
  }
  if (length <= 0) return std::nullopt;
  return sum / length;
}

std::string label(const std::string& text) {
  return std::string(static_cast<std::size_t>(std::max(0, margin - 1 - static_cast<int>(text.size()))), ' ') + text + " ";
}

std::string number(double x, const std::string& unit) {
  char text[32];
  std::snprintf(text, sizeof text, std::abs(x) < 10 ? "%.2f %s" : "%.0f %s", x, unit.c_str());
  return text;
}

std::string block(double filled) {
  return blocks[static_cast<std::size_t>(std::clamp(std::lround(filled * eighths), 0L, static_cast<long>(eighths)))];
}

std::string without_trailing_spaces(std::string line) {
  line.erase(line.find_last_not_of(' ') + 1);
  return line + "\n";
}

}  // namespace

std::string draw(const Curve& curve) {
  const double width = (curve.to - curve.from) / columns;
  std::vector<std::optional<double>> heights;
  std::optional<double> low, high;
  for (int c = 0; c < columns; ++c) {
    const auto v = mean_of(curve.values, curve.from + c * width, curve.from + (c + 1) * width);
    heights.push_back(v);
    if (v) low = std::min(low.value_or(*v), *v), high = std::max(high.value_or(*v), *v);
  }
  if (!low || width <= 0) return {};
  // From zero, unless what moves would not be seen.
  const double bottom = *low > 0 && *low > 0.6 * *high ? *low - 0.15 * (*high - *low) : std::min(0.0, *low);
  const double range = std::max(*high - bottom, 1e-12);

  std::string text;
  for (int r = rows - 1; r >= 0; --r) {
    std::string line = label(r == rows - 1 ? number(*high, curve.unit) : r == 0 ? number(bottom, curve.unit) : "");
    for (const auto& v : heights) line += v ? block((*v - bottom) / range * rows - r) : " ";
    text += without_trailing_spaces(line);
  }
  std::vector<Curve::Point> load{{curve.from - 1e6, 0}};
  for (const Curve::Switch& s : curve.load) load.push_back({s.time, s.on ? 1.0 : 0.0});
  std::string line = label("load");
  for (int c = 0; c < columns; ++c)
    line += block(mean_of(load, curve.from + c * width, curve.from + (c + 1) * width).value_or(0));
  text += without_trailing_spaces(line);
  char end[32], begin[32];
  std::snprintf(begin, sizeof begin, "%.1f s", curve.from);
  std::snprintf(end, sizeof end, "%.1f s", curve.to);
  std::string times = label("") + begin;
  times.resize(static_cast<std::size_t>(margin + columns) - std::string(end).size(), ' ');
  return text + times + end + "\n";
}

}  // namespace eaq

#include "eaq/report/numbers.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace eaq {

std::string with_decimals(double value, int decimals) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

namespace {

// Decimals that show the first digit of `margin`, but three digits of `value` at least and one more at most.
int decimals_for(double value, double margin) {
  const auto places = [](double x, int digits) {
    return x > 0 && std::isfinite(x) ? digits - 1 - static_cast<int>(std::floor(std::log10(x))) : 0;
  };
  const int by_value = places(std::abs(value), 3), by_margin = margin > 0 ? places(margin, 1) : by_value;
  return std::clamp(std::max(by_value, std::min(by_margin, by_value + 1)), 0, 6);
}

}  // namespace

std::string short_number(double value) {
  return std::isfinite(value) ? with_decimals(value, decimals_for(value, 0)) : "not finite";
}

std::string signed_percent(double fraction) {
  char text[32];
  std::snprintf(text, sizeof text, "%+.1f", fraction * 100);
  return text;
}

std::string with_margin(const Figure& figure) {
  if (!figure.ci95) return short_number(figure.mean);
  const double margin = (figure.ci95->second - figure.ci95->first) / 2;
  const int decimals = decimals_for(figure.mean, margin);
  return with_decimals(figure.mean, decimals) + " \u00b1" + with_decimals(margin, decimals);
}

std::string ratio_text(const Figure& figure) {
  const int decimals = figure.mean >= 10 ? 1 : 2;
  std::string text = with_decimals(figure.mean, decimals) + "x";
  if (figure.ci95)
    text += " [" + with_decimals(figure.ci95->first, decimals) + "," + with_decimals(figure.ci95->second, decimals) + "]";
  return text;
}

std::string with_thousands(double value) {
  std::string digits = value < 100 ? short_number(value) : with_decimals(value, 0);
  if (digits.find('.') != std::string::npos) return digits;
  for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3)
    digits.insert(static_cast<std::size_t>(at), " ");
  return digits;
}

std::string mebibytes(std::int64_t bytes) {
  const double size = static_cast<double>(bytes) / (1024.0 * 1024.0);
  return with_decimals(size, size < 10 ? 2 : 1);
}

std::string small_number(const std::optional<double>& value) {
  if (!value) return "-";
  if (!std::isfinite(*value)) return "not finite";
  if (*value == 0) return "0";
  char text[32];
  std::snprintf(text, sizeof text, "%.1e", *value);
  return text;
}

std::string quality_text(const QualityResult& quality, bool interval) {
  const double scale = quality.metric == "accuracy" ? 100 : 1;
  if (!std::isfinite(quality.value)) return "not finite";
  std::string text = with_decimals(quality.value * scale, 2);
  if (interval && quality.ci95)
    text += " [" + with_decimals(quality.ci95->first * scale, 1) + "," + with_decimals(quality.ci95->second * scale, 1) + "]";
  return text;
}

std::string p_text(double p) { return p < 0.001 ? "p < 0.001" : "p " + with_decimals(p, p < 0.1 ? 3 : 2); }

std::size_t columns(const std::string& text) {
  std::size_t count = 0;
  bool colour = false;  // inside "\x1b[...m", which takes no room
  for (const char c : text) {
    if (c == '\x1b') colour = true;
    if (!colour && (c & 0xC0) != 0x80) ++count;
    if (colour && c == 'm') colour = false;
  }
  return count;
}

}  // namespace eaq

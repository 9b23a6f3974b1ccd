#include "eaq/report/page/html.h"

#include <cmath>
#include <cstdlib>

#include "eaq/base/base.h"
#include "eaq/report/numbers.h"
#include "eaq/report/page/assets.h"

namespace eaq::page {
namespace {

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
}

// A column is one of numbers where any of its cells is.
std::vector<bool> of_numbers(const PageTable& table) {
  std::vector<bool> numbers(table.header.size());
  for (const auto& row : table.rows)
    for (std::size_t c = 0; c < row.size() && c < numbers.size(); ++c)
      if (row[c].value) numbers[c] = true;
  return numbers;
}

std::string row_html(const std::vector<PageCell>& row, const std::vector<bool>& numbers) {
  std::string text = "<tr>";
  for (std::size_t c = 0; c < row.size() && c < numbers.size(); ++c) {
    const PageCell& cell = row[c];
    char value[48] = "";
    if (cell.value && std::isfinite(*cell.value)) std::snprintf(value, sizeof value, " data-v=\"%.12g\"", *cell.value);
    const std::string shown = cell.text.empty() ? "<span class=\"none\" title=\"not available\">-</span>" : escaped(cell.text);
    const std::string kind = numbers[c] ? " class=\"n\"" : cell.text.size() > 28 ? " class=\"long\"" : "";
    text.append(c == 0 ? "<th scope=\"row\"" : "<td").append(c == 0 ? "" : kind).append(value).append(">");
    text.append(shown).append(c == 0 ? "</th>" : "</td>");
  }
  return text + "</tr>\n";
}

}  // namespace

std::string escaped(std::string_view text) {
  std::string safe;
  for (std::size_t begin = 0; begin <= text.size();) {  // printable() keeps to one line; notes may have several
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    for (const char c : printable(text.substr(begin, end - begin))) {
      switch (c) {
        case '&':
          safe += "&amp;";
          break;
        case '<':
          safe += "&lt;";
          break;
        case '>':
          safe += "&gt;";
          break;
        case '"':
          safe += "&quot;";
          break;
        case '\'':
          safe += "&#39;";
          break;
        default:
          safe += c;
      }
    }
    if (end < text.size()) safe += '\n';
    begin = end + 1;
  }
  return safe;
}

std::string script_safe(const Json& json) {
  // Outside strings JSON has none of these characters, and everything beyond ASCII is escaped already.
  std::string text = json.dump(-1, ' ', true, Json::error_handler_t::replace);
  replace_all(text, "<", "\\u003c");
  replace_all(text, ">", "\\u003e");
  replace_all(text, "&", "\\u0026");
  return text;
}

std::string html(const PageTable& table) {
  const std::vector<bool> numbers = of_numbers(table);
  const std::string wide = table.header.size() > 9 ? " wide" : "";  // printed across
  std::string text = "<div class=\"scroll" + wide + "\" tabindex=\"0\" role=\"region\" aria-label=\"" + escaped(table.caption) +
                     "\">\n<table" + (table.sortable && table.rows.size() > 1 ? " class=\"sortable\"" : "") + "><caption><span>" +
                     escaped(table.caption) + "</span></caption>\n<thead><tr>";
  for (std::size_t c = 0; c < table.header.size(); ++c)
    text += std::string("<th scope=\"col\"") + (numbers[c] ? " class=\"n\"" : "") + ">" + escaped(table.header[c]) + "</th>";
  text += "</tr></thead>\n<tbody>\n";
  for (const auto& row : table.rows) text += row_html(row, numbers);
  text += "</tbody></table></div>\n";
  if (table.notes.empty()) return text;
  text += "<ul class=\"notes\">\n";
  for (const std::string& note : table.notes) text += "<li>" + escaped(note) + "</li>\n";
  return text + "</ul>\n";
}

std::string html(const PageChart& chart) {
  std::string words = "<b>" + escaped(chart.title) + ".</b> " + escaped(chart.finding);
  if (!chart.method.empty()) words += " <span class=\"method\">" + escaped(chart.method) + "</span>";
  if (chart_libraries().empty()) return "<p class=\"figure\">" + words + "</p>\n";
  return "<figure class=\"figure\"><div class=\"chart\" role=\"img\" aria-label=\"" +
         escaped(chart.title + ". " + chart.finding) + "\"><div class=\"plot\"></div></div><script type=\"application/json\">" +
         script_safe(chart.spec) + "</script><figcaption>" + words + "</figcaption></figure>\n";
}

std::string paragraph(std::string_view text, std::string_view css_class) {
  return "<p" + (css_class.empty() ? "" : " class=\"" + std::string(css_class) + "\"") + ">" + escaped(text) + "</p>\n";
}

std::string heading(int level, std::string_view text, std::string_view id) {
  const std::string name = "h" + std::to_string(level);
  return "<" + name + (id.empty() ? "" : " id=\"" + escaped(id) + "\"") + ">" + escaped(text) + "</" + name + ">\n";
}

std::string folded(std::string_view summary, std::string_view content_html) {
  return "<details><summary>" + escaped(summary) + "</summary>\n" + std::string(content_html) + "</details>\n";
}

std::string definitions(const std::vector<std::pair<std::string, std::string>>& terms) {
  std::string text = "<dl>\n";
  for (const auto& [term, value] : terms)
    if (!value.empty()) text += "<dt>" + escaped(term) + "</dt><dd>" + escaped(value) + "</dd>\n";
  return text + "</dl>\n";
}

std::optional<double> leading_number(std::string_view text) {
  std::string digits;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool parts_thousands = text[i] == ' ' && i > 0 && i + 3 < text.size() + 0 && std::isdigit(text[i - 1]) != 0 &&
                                 std::isdigit(text[i + 1]) != 0 && std::isdigit(text[i + 2]) != 0 &&
                                 std::isdigit(text[i + 3]) != 0;
    if (parts_thousands) continue;
    if (std::string_view("+-.0123456789eE").find(text[i]) == std::string_view::npos) break;
    digits += text[i];
  }
  char* end = nullptr;
  const double value = std::strtod(digits.c_str(), &end);
  if (end == digits.c_str()) return std::nullopt;
  return value;
}

PageCell figure_cell(const std::optional<Figure>& figure) {
  if (!figure) return "";
  return {with_margin(*figure), figure->mean};
}

PageCell number_cell(const std::optional<double>& value) {
  if (!value) return "";
  return {std::isfinite(*value) ? short_number(*value) : "not finite", *value};
}

std::string with_bounds(const Figure& figure) {
  std::string text = short_number(figure.mean);
  if (figure.ci95) text += " [" + short_number(figure.ci95->first) + ", " + short_number(figure.ci95->second) + "]";
  return text;
}

Json number_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

}  // namespace eaq::page

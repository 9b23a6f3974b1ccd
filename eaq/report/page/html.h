// HTML as text, for the page alone. Every string from a result goes through escaped(): whoever made the model named it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "eaq/base/json.h"
#include "eaq/result/result.h"

namespace eaq::page {

/// As text or as an attribute's value in double quotes. Invalid UTF-8 and control characters come out as `\xNN`.
std::string escaped(std::string_view text);
/// JSON that may stand in a <script>: nothing in it ends the element, starts a comment or breaks a line.
std::string script_safe(const Json& json);

struct PageCell {
  PageCell(std::string shown, std::optional<double> by = {}) : text(std::move(shown)), value(by) {}  // NOLINT: cells are texts
  PageCell(const char* shown) : text(shown) {}                                                       // NOLINT
  std::string text;             ///< not escaped yet; empty: not available
  std::optional<double> value;  ///< what the table is sorted by; texts sort by themselves
};

struct PageTable {
  std::string caption;
  std::vector<std::string> header;
  std::vector<std::vector<PageCell>> rows;
  std::vector<std::string> notes;
  bool sortable = true;
};
/// In a box of its own that scrolls sideways. The first column heads its row.
std::string html(const PageTable& table);

/// A Vega-Lite specification and what it shows in words.
struct PageChart {
  std::string title;
  std::string method;   ///< how its figures came about
  std::string finding;  ///< for those who do not see it
  Json spec;
};
/// Where the program carries no chart libraries, its words alone.
std::string html(const PageChart& chart);

std::string paragraph(std::string_view text, std::string_view css_class = "");
std::string heading(int level, std::string_view text, std::string_view id = "");
/// Opens and closes at a click; printed open.
std::string folded(std::string_view summary, std::string_view content_html);
std::string definitions(const std::vector<std::pair<std::string, std::string>>& terms);

/// The number that a cell's text begins with: 45070 of "45 070", 10.1 of "10.1x [10.1,10.2]".
std::optional<double> leading_number(std::string_view text);

/// "12.3 ±0.4" with its mean to sort by; empty where there is none.
PageCell figure_cell(const std::optional<Figure>& figure);
PageCell number_cell(const std::optional<double>& value);
/// "398.9 [398.4, 399.4]".
std::string with_bounds(const Figure& figure);
/// Its finite value, else null.
Json number_or_null(double value);

}  // namespace eaq::page

// Tables and lines in the forms in which they are read: a terminal's, Markdown, comma-separated; for the files of this folder.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "eaq/report/table.h"
#include "eaq/result/result.h"

namespace eaq {

inline constexpr std::size_t screen_width = 100;

std::string padded(std::string text, std::size_t width);
/// Lines of at most screen_width, parted at spaces; those after the first begin with `indent`.
std::string wrapped(const std::string& line, const std::string& indent);
std::string joined(const std::vector<std::string>& parts, const char* separator);

/// The columns of a screen that the rows of a table take, two spaces apart.
std::size_t width_of(const TableText& table);
/// Title, method, header, rows, notes; each of them only where there is one.
std::string screen_table(const TableText& table);
std::string markdown_table(const TableText& table);
/// "How this came about": the manifest as a list.
std::string provenance(const Manifest& manifest);
std::string claims_markdown(const std::vector<ClaimRecord>& claims);  ///< empty where there are none

/// A full number, empty where it is none.
std::string full(double value);
std::string full(const std::optional<double>& value);
std::string full(const std::optional<std::int64_t>& value);

class CsvRow {
 public:
  void add(const std::string& text);
  void figure(const Figure* f);  ///< mean, low, high
  void interval(const std::optional<std::pair<double, double>>& bounds);
  std::string text() const { return line_ + "\n"; }

 private:
  std::string line_;
  bool first_ = true;
};

/// One block for each value, from 0 up to the largest; more than `most` values are drawn by means of neighbours.
std::string sparkline(const std::vector<double>& values, std::size_t most = 24);
/// `part` (0..1) of `width` columns, in eighths of a column.
std::string bar(double part, std::size_t width);

}  // namespace eaq

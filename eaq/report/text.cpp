#include "eaq/report/text.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "eaq/report/numbers.h"
#include "eaq/report/style.h"

namespace eaq {
namespace {

std::vector<std::size_t> widths_of(const TableText& table) {
  std::vector<std::size_t> widths;
  for (const std::string& cell : table.header) widths.push_back(columns(cell));
  for (const auto& row : table.rows)
    for (std::size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], columns(row[c]));
  return widths;
}

// Each line by itself, so that a terminal's page break leaves no colour behind.
std::string each_line(const std::string& lines, std::string (*set_off)(const std::string&)) {
  std::string text;
  for (std::size_t begin = 0; begin < lines.size();) {
    const std::size_t end = std::min(lines.find('\n', begin), lines.size());
    text += set_off(lines.substr(begin, end - begin)) + "\n";
    begin = end + 1;
  }
  return text;
}

std::string markdown_row(const std::vector<std::string>& cells) {
  std::string text = "|";
  for (const std::string& cell : cells) {
    std::string safe;
    for (const char c : cell) safe += c == '|' ? std::string("\\|") : std::string(1, c);
    text += " " + safe + " |";
  }
  return text + "\n";
}

std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

}  // namespace

std::string padded(std::string text, std::size_t width) {
  const std::size_t used = columns(text);
  if (used < width) text.append(width - used, ' ');
  return text;
}

std::string wrapped(const std::string& line, const std::string& indent) {
  std::string out, current;
  for (std::size_t begin = 0; begin <= line.size();) {
    const std::size_t end = std::min(line.find(' ', begin), line.size());
    const std::string word = line.substr(begin, end - begin);
    if (!current.empty() && columns(current) + 1 + columns(word) > screen_width) {
      out += current + "\n";
      current = indent + word;
    } else {
      current += (begin == 0 ? "" : " ") + word;
    }
    begin = end + 1;
  }
  return out + current + "\n";
}

std::string joined(const std::vector<std::string>& parts, const char* separator) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : separator) + part;
  return text;
}

std::size_t width_of(const TableText& table) {
  std::size_t whole = 0;
  for (const std::size_t width : widths_of(table)) whole += width + 2;
  return whole - 2;
}

std::string screen_table(const TableText& table) {
  const std::vector<std::size_t> widths = widths_of(table);
  // Two spaces part the columns, one where they would not fit otherwise.
  const std::size_t gap = width_of(table) <= screen_width ? 2 : 1;
  const auto line = [&](const std::vector<std::string>& cells) {
    std::string text;
    for (std::size_t c = 0; c < cells.size(); ++c) text += padded(cells[c], widths[c] + gap);
    text.erase(text.find_last_not_of(' ') + 1);
    return text;
  };
  std::string text;
  if (!table.title.empty()) text += each_line(wrapped(table.title, "  "), bold);
  if (!table.method.empty()) text += wrapped(table.method, "  ");
  text += bold(line(table.header)) + "\n";
  for (const auto& row : table.rows) text += line(row) + "\n";
  for (const std::string& note : table.notes) text += each_line(wrapped(note, "  "), note.starts_with("! ") ? bad : dim);
  return text;
}

std::string markdown_table(const TableText& table) {
  std::string text;
  if (!table.title.empty()) text += "**" + table.title + "**\n\n";
  if (!table.method.empty()) text += table.method + "\n\n";
  text += markdown_row(table.header) + "|";
  for (std::size_t c = 0; c < table.header.size(); ++c) text += c == 0 || table.of_words ? " --- |" : " ---: |";
  text += "\n";
  for (const auto& row : table.rows) text += markdown_row(row);
  if (!table.notes.empty()) text += "\n";
  for (const std::string& note : table.notes) text += (note.starts_with("* ") ? "- \\" : "- ") + note + "\n";
  return text;
}

std::string claims_markdown(const std::vector<ClaimRecord>& claims) {
  if (claims.empty()) return "";
  TableText table;
  table.of_words = true;
  table.header = {"the original study (Tesla T4)", "here", "evidence"};
  for (const ClaimRecord& c : claims) table.rows.push_back({c.claim, c.verdict, c.evidence});
  return markdown_table(table);
}

std::string provenance(const Manifest& m) {
  std::string text = "\n## How this came about\n\n";
  const auto item = [&](const char* name, const std::string& value) {
    if (!value.empty()) text += std::string("- ") + name + ": " + value + "\n";
  };
  item("command", "`" + joined(m.command, " ") + "`");
  item("eaq", m.eaq + ", commit " + m.commit);
  const bool card = !m.device.uuid.empty();
  const auto and_then = [](const std::string& more) { return more.empty() ? "" : ", " + more; };
  item("device", card ? m.device.name + and_then(m.device.isa) + and_then(m.device.uuid) + and_then(m.driver.value_or("")) : "");
  item("machine", m.host.cpu +
                      (card ? ""
                            : ", " + std::to_string(m.device.threads) + " threads" +
                                  (m.device.isa.empty() ? "" : ", instruction set " + m.device.isa)) +
                      ", " + m.host.os);
  item("started", m.started + ", took " + with_decimals(m.seconds, 0) + " s, seed " + std::to_string(m.seed));
  item("quality", m.protocol.quality);
  for (const ModelRecord& model : m.models)
    item("model", model.name + ", " + std::to_string(model.parameters) + " parameters, " + model.hash +
                      (model.source.empty() ? "" : ", " + model.source));
  for (const DataRecord& data : m.data) item("data", data.name + ", " + data.hash);
  return text;
}

std::string full(double value) {
  if (!std::isfinite(value)) return "";
  char text[40];
  std::snprintf(text, sizeof text, "%.9g", value);
  return text;
}
std::string full(const std::optional<double>& value) { return value ? full(*value) : ""; }
std::string full(const std::optional<std::int64_t>& value) { return value ? std::to_string(*value) : ""; }

void CsvRow::add(const std::string& text) {
  if (!first_) line_ += ",";
  first_ = false;
  line_ += csv_cell(text);
}
void CsvRow::figure(const Figure* f) {
  add(f != nullptr ? full(f->mean) : "");
  interval(f != nullptr ? f->ci95 : std::nullopt);
}
void CsvRow::interval(const std::optional<std::pair<double, double>>& bounds) {
  add(bounds ? full(bounds->first) : "");
  add(bounds ? full(bounds->second) : "");
}

std::string sparkline(const std::vector<double>& values, std::size_t most) {
  static constexpr std::array<const char*, 8> blocks{"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  if (values.empty()) return {};
  const std::size_t count = std::min(values.size(), most);
  std::vector<double> heights;
  for (std::size_t c = 0; c < count; ++c) {
    const std::size_t begin = c * values.size() / count, end = (c + 1) * values.size() / count;
    double sum = 0;
    for (std::size_t i = begin; i < end; ++i) sum += std::isfinite(values[i]) ? std::max(values[i], 0.0) : 0;
    heights.push_back(sum / static_cast<double>(end - begin));
  }
  const double top = *std::max_element(heights.begin(), heights.end());
  std::string text;
  for (const double h : heights)
    text += blocks[top > 0 ? static_cast<std::size_t>(std::clamp(std::lround(h / top * 8) - 1, 0L, 7L)) : 0];
  return text;
}

std::string bar(double part, std::size_t width) {
  static constexpr std::array<const char*, 8> eighths{"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const auto filled = static_cast<std::size_t>(std::lround(std::clamp(part, 0.0, 1.0) * 8 * static_cast<double>(width)));
  std::string text;
  for (std::size_t c = 0; c < filled / 8; ++c) text += "█";
  return text + eighths[filled % 8];
}

}  // namespace eaq

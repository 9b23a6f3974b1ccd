#include <algorithm>
#include <cmath>

#include "eaq/report/numbers.h"
#include "eaq/report/report.h"
#include "eaq/report/table.h"

namespace eaq {
namespace {

constexpr std::size_t screen_width = 100;

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

std::string screen_table(const TableText& table) {
  std::vector<std::size_t> widths;
  for (const std::string& cell : table.header) widths.push_back(columns(cell));
  for (const auto& row : table.rows)
    for (std::size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], columns(row[c]));
  // Two spaces part the columns, one where they would not fit otherwise.
  std::size_t whole = 2 * (widths.size() - 1);
  for (const std::size_t width : widths) whole += width;
  const std::size_t gap = whole <= screen_width ? 2 : 1;
  const auto line = [&](const std::vector<std::string>& cells) {
    std::string text;
    for (std::size_t c = 0; c < cells.size(); ++c) text += padded(cells[c], widths[c] + gap);
    text.erase(text.find_last_not_of(' ') + 1);
    return text + "\n";
  };
  std::string text = wrapped(table.title, "  ") + wrapped(table.method, "  ") + line(table.header);
  for (const auto& row : table.rows) text += line(row);
  for (const std::string& note : table.notes) text += wrapped(note, "  ");
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

std::string markdown_table(const TableText& table) {
  std::string text = "**" + table.title + "**\n\n" + table.method + "\n\n" + markdown_row(table.header) + "|";
  for (std::size_t c = 0; c < table.header.size(); ++c) text += c == 0 ? " --- |" : " ---: |";
  text += "\n";
  for (const auto& row : table.rows) text += markdown_row(row);
  if (!table.notes.empty()) text += "\n";
  for (const std::string& note : table.notes) text += (note.starts_with("* ") ? "- \\" : "- ") + note + "\n";
  return text;
}

std::string joined(const std::vector<std::string>& parts, const char* separator) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : separator) + part;
  return text;
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
    item("model", model.name + ", " + std::to_string(model.parameters) + " parameters, " + model.hash);
  for (const DataRecord& data : m.data) item("data", data.name + ", " + data.hash);
  return text +
         "\nIntervals hold 95 %. Times are from submission to completion. KL is KL(fp32 || format), mean per predicted token or "
         "sentence. Sizes are of the stored weights, 1 MiB = 1048576 bytes; peak is " +
         (card ? "the largest use of the card's memory" : "the process's largest resident set") + " with that format alone.\n";
}

std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

std::string full(double value) {
  if (!std::isfinite(value)) return "";
  char text[40];
  std::snprintf(text, sizeof text, "%.9g", value);
  return text;
}
std::string full(const std::optional<double>& value) { return value ? full(*value) : ""; }
std::string full(const std::optional<std::int64_t>& value) { return value ? std::to_string(*value) : ""; }

class CsvRow {
 public:
  void add(const std::string& text) {
    if (!first_) line_ += ",";
    first_ = false;
    line_ += csv_cell(text);
  }
  void figure(const Figure* f) {
    add(f != nullptr ? full(f->mean) : "");
    interval(f != nullptr ? f->ci95 : std::nullopt);
  }
  void interval(const std::optional<std::pair<double, double>>& bounds) {
    add(bounds ? full(bounds->first) : "");
    add(bounds ? full(bounds->second) : "");
  }
  std::string text() const { return line_ + "\n"; }

 private:
  std::string line_;
  bool first_ = true;
};

constexpr const char* csv_header =
    "model,task,format,phase,unit,batch,seq,samples,latency_ms,latency_ms_low,latency_ms_high,p50_ms,p90_ms,p99_ms,throughput_"
    "per_s,"
    "throughput_low,throughput_high,energy_label,energy_method,meter,mJ_per_sample,mJ_low,mJ_high,mean_power_W,mean_power_method_"
    "mJ,"
    "metric,value,value_low,value_high,n,correct,kl_mean,flips,nan_inf,size_bytes,peak_memory_bytes,storage,arithmetic,"
    "emulated\n";

std::string csv_row(const Run& r) {
  CsvRow row;
  for (const std::string& text : {r.model, r.task, r.format, r.phase, r.unit}) row.add(text);
  for (const std::int64_t number : {r.batch, r.seq, r.samples}) row.add(std::to_string(number));
  row.figure(r.latency_ms ? &r.latency_ms->ms : nullptr);
  for (double Latency::*p : {&Latency::p50, &Latency::p90, &Latency::p99}) row.add(r.latency_ms ? full((*r.latency_ms).*p) : "");
  row.figure(r.throughput_per_s ? &*r.throughput_per_s : nullptr);
  for (std::string Energy::*p : {&Energy::label, &Energy::method, &Energy::meter}) row.add(r.energy ? (*r.energy).*p : "");
  row.figure(r.energy ? &r.energy->mJ_per_sample : nullptr);
  row.add(r.energy ? full(r.energy->mean_power_W) : "");
  row.add(r.energy ? full(r.energy->mean_power_method_mJ) : "");
  row.add(r.quality ? r.quality->metric : "");
  row.add(r.quality ? full(r.quality->value) : "");
  row.interval(r.quality ? r.quality->ci95 : std::nullopt);
  row.add(r.quality ? std::to_string(r.quality->n) : "");
  row.add(r.quality ? full(r.quality->correct) : "");
  row.add(r.quality ? full(r.quality->kl_mean) : "");
  row.add(r.quality ? full(r.quality->flips) : "");
  row.add(r.quality ? std::to_string(r.quality->nan_inf) : "");
  row.add(std::to_string(r.size_bytes));
  row.add(full(r.peak_memory_bytes));
  row.add(r.storage);
  row.add(r.arithmetic);
  row.add(r.emulated ? "true" : "false");
  return row.text();
}

}  // namespace

std::string screen_report(const Study& study) {
  std::string text;
  for (const TableText& table : tables_of(study)) text += screen_table(table) + "\n";
  for (const std::string& line : closing_lines(study)) text += wrapped(line, "  ");
  return text;
}

std::string markdown_report(const Study& study) {
  std::string text = "# eaq study\n\n";
  for (const TableText& table : tables_of(study)) text += markdown_table(table) + "\n";
  for (const std::string& line : closing_lines(study)) text += line + "\n";
  return text + provenance(study.manifest);
}

std::string csv_table(const Study& study) {
  std::string text = csv_header;
  for (const Run& run : study.runs) text += csv_row(run);
  return text;
}

std::string screen_run(const Run& run) {
  std::string text = run.model + " in " + run.format + " on " + run.task + "\n";
  const auto line = [&](const std::string& name, const std::string& value) { text += "  " + padded(name, 14) + value + "\n"; };
  if (run.quality) {
    const QualityResult& q = *run.quality;
    const bool accuracy = q.metric == "accuracy";
    line(q.metric, quality_text(q, true) + (accuracy ? " %, " + std::to_string(q.correct.value_or(0)) + " of " : " over ") +
                       std::to_string(q.n) + (accuracy ? " sentences" : " predicted tokens"));
    if (q.kl_mean && run.format != "fp32")
      line("against fp32", "KL " + small_number(q.kl_mean) + (std::isfinite(*q.kl_mean) ? " nats, " : ", ") +
                               std::to_string(q.flips.value_or(0)) + " predictions differ");
    line("NaN or Inf", std::to_string(q.nan_inf) + " logits");
  } else {
    line("quality", "none: " + run.quality_unavailable);
  }
  line("size",
       mebibytes(run.size_bytes) + " MiB" + (run.format == "fp32" ? "" : ", fp32 is " + short_number(run.size_ratio) + "x that"));
  for (const std::string& note : run.notes)
    if (note.starts_with("partial")) line("!", note);
  if (run.peak_memory_bytes) line("peak memory", mebibytes(*run.peak_memory_bytes) + " MiB");
  line("ran", run.storage + " stored, " + run.arithmetic + " multiplied" + (run.emulated ? ", emulated" : "") + ": " +
                  joined(run.kernels, ", "));
  return text;
}

}  // namespace eaq

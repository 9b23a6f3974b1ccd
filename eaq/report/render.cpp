#include <algorithm>
#include <cmath>

#include "eaq/report/numbers.h"
#include "eaq/report/report.h"
#include "eaq/report/table.h"
#include "eaq/report/text.h"

namespace eaq {
namespace {

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
  const std::string claims = claims_markdown(study.claims);
  return text + provenance(study.manifest) +
         "\nIntervals hold 95 %. Times are from submission to completion. KL is KL(fp32 || format), mean per predicted token or "
         "sentence. Sizes are of the stored weights, 1 MiB = 1048576 bytes; peak is " +
         (study.manifest.device.uuid.empty() ? "the process's largest resident set" : "the largest use of the card's memory") +
         " with that format alone.\n" + (claims.empty() ? "" : "\n## The original study's claims\n\n" + claims);
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

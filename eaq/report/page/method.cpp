#include "eaq/base/base.h"
#include "eaq/report/numbers.h"
#include "eaq/report/page/sections.h"
#include "eaq/report/table.h"

namespace eaq::page {
namespace {

std::string joined(const std::vector<std::string>& parts, const char* separator) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : separator) + part;
  return text;
}

std::string facts_of(const std::map<std::string, std::string>& facts) {
  std::string text;
  for (const auto& [name, value] : facts) text.append(text.empty() ? "" : ", ").append(name).append(" ").append(value);
  return text;
}

std::string meter_text(const MeterRecord& meter) {
  std::string text = joined(meter.zones, ", ") + " (" + meter.label + (meter.headline ? ", charged" : "") + ")";
  if (!meter.facts.empty()) text += ": " + facts_of(meter.facts);
  return text;
}

constexpr const char* how_of_a_study =
    "Joules per inference are a device's power, the slope of its energy counter over the counter's edges, times the seconds of "
    "an inference; in a visit of fewer than eight runs, where the counter moves more than twice in each, what it rose; where a "
    "meter has no counter, the integral of its power. Formats run in randomised blocks: a block visits each once in random order "
    "and once in reverse, "
    "and intervals are t-intervals over blocks, so that what drifts strikes all formats alike. A ratio is one of blocks, not of "
    "two averages. Quality is "
    "found on the same data for every format and compared item by item (McNemar's test, or a paired t-test), p-values adjusted "
    "by Holm. KL is "
    "KL(fp32 || format), nats per predicted token or sentence. What is not available is a dash with its reason, never a zero. "
    "The scale of a sensor is "
    "uncertain by some per cent, which cancels in ratios and is in no interval.";

constexpr const char* how_of_a_profile =
    "No part is timed by itself, and none is derived from the whole. Whole runs of the program, on real input, in which steps "
    "run "
    "more than once, are visited in randomised order; a repeated step multiplies by other copies of its weights. Loops: one step "
    "at a "
    "time runs again and again within the program. In place: of several passes one has a random half of the steps doubled. A "
    "visit's "
    "joules are its device's power, the slope of the energy counter over its edges, times its seconds (in a visit of fewer than "
    "eight runs, where the counter moves more than twice in each, what it rose); least squares give what each step's one run "
    "more "
    "costs, with "
    "t-intervals, drift taken out. Whether the parts add up to the whole, measured in the same visits, is printed. By time "
    "share: "
    "each step's time by itself, over all steps', of the whole model's joules: the usual baseline. Impact: the model in fp32 "
    "against "
    "the same model with one site in a format, or one site or step without what it does, on the same data: KL(fp32 || changed), "
    "nats per predicted token or sentence, and differences paired item by item. Roofline, correlations and guidelines follow "
    "from "
    "the rows alone. What is not available is a dash with its reason, never a zero. The scale of a sensor is uncertain by some "
    "per "
    "cent, which cancels in shares and is in no interval.";

}  // namespace

std::string method_section(const Manifest& m, const std::string& name, const std::string& result_json) {
  std::vector<std::pair<std::string, std::string>> terms{
      {"result", name},
      {"command", joined(m.command, " ")},
      {"eaq", m.eaq + ", commit " + m.commit},
      {"started", m.started + ", took " + with_decimals(m.seconds, 0) + " s, seed " + std::to_string(m.seed)},
      {"protocol", timing_method(m.protocol) + (m.protocol.method.empty() ? "" : ", energy by " + m.protocol.method)},
      {"quality", m.protocol.quality},
      {"device", m.device.name + (m.device.isa.empty() ? "" : ", " + m.device.isa) +
                     (m.device.uuid.empty() ? "" : ", " + m.device.uuid) + (m.driver ? ", " + *m.driver : "") +
                     (m.device.threads > 0 ? ", " + std::to_string(m.device.threads) + " threads" : "")},
      {"machine", m.host.cpu + ", " + std::to_string(m.host.cores) + " cores, " + mebibytes(m.host.memory_bytes) + " MiB, " +
                      m.host.os + ", " + m.host.kernel},
      {"built with", m.host.compiler + (m.host.libraries.empty() ? "" : "; " + facts_of(m.host.libraries))}};
  if (m.meters.empty()) terms.emplace_back("meters", "none: " + m.no_meter);
  for (const MeterRecord& meter : m.meters) terms.emplace_back("meter", meter_text(meter));
  for (const ModelRecord& model : m.models)
    terms.emplace_back("model", model.name + ", " + with_thousands(static_cast<double>(model.parameters)) + " parameters, " +
                                    model.hash + (model.source.empty() ? "" : ", " + model.source));
  for (const DataRecord& data : m.data)
    terms.emplace_back("data", data.name + ", " + std::to_string(data.items) + " items, " + std::to_string(data.tokens) +
                                   " tokens, " + data.hash);
  const Json manifest = parse_json(result_json, name)["manifest"];
  return heading(3, "Method and manifest") +
         paragraph(m.protocol.name.starts_with("profile") ? how_of_a_profile : how_of_a_study) + definitions(terms) +
         folded("The manifest in full", "<pre tabindex=\"0\">" + escaped(manifest.dump(2)) + "</pre>\n");
}

}  // namespace eaq::page

#include <algorithm>

#include "eaq/study/job.h"

namespace eaq {
namespace {

std::vector<MeterRecord> records_of(const MeterSet& meters, const std::vector<std::size_t>& headline) {
  std::vector<MeterRecord> records;
  for (std::size_t i = 0; i < meters.meters().size(); ++i) {
    MeterRecord record{meters.meters()[i]->name(), std::string(name_of(meters.meters()[i]->label())), {}, false, {}};
    for (const Fact& fact : meters.meters()[i]->facts()) record.facts[fact.name] = fact.value;
    for (std::size_t z = 0; z < meters.zones().size(); ++z) {
      if (meters.zones()[z].meter != i) continue;
      record.zones.push_back(meters.zones()[z].full_name);
      record.headline = record.headline || std::find(headline.begin(), headline.end(), z) != headline.end();
    }
    records.push_back(std::move(record));
  }
  return records;
}

}  // namespace

Manifest make_manifest(const StudyOptions& options, const Device& on, const MeterSet& meters, std::span<const Job> jobs) {
  Manifest m;
  m.eaq = version();
  m.commit = commit();
  m.host = describe_host();
  const DeviceDescription device = on.context->description();
  m.device = {device.kind, device.name, device.isa, device.threads, device.uuid};
  if (!device.driver.empty()) m.driver = "CUDA " + device.driver;
  m.meters = records_of(meters, meters.headline(zone_of(device)));
  if (meters.empty()) m.no_meter = meters.why_none();
  m.seed = options.seed;
  m.command = options.command;
  m.started = timestamp_utc();
  for (const Job& job : jobs) {
    m.models.push_back(job.model_record());
    const DataRecord data = job.data_record();
    if (std::none_of(m.data.begin(), m.data.end(),
                     [&](const DataRecord& d) { return d.name == data.name && d.hash == data.hash; }))
      m.data.push_back(data);
    m.protocol.quality += (m.protocol.quality.empty() ? "" : "; ") + job.model.name + ": " + job.judged;
  }
  return m;
}

}  // namespace eaq

// replay: plays a recording (`samples.csv`, or `.csv.zst` as a study writes it) as if its sensors were read now. Time 0 of the
// file is the moment of opening. Each zone shows its latest row until the next; after the last one it is unplugged.
#include <algorithm>
#include <array>

#include "eaq/meter/meter.h"

namespace eaq::meter_replay {
namespace {

// Recordings carry names only; these are the ones that this program itself gives.
ZoneRole role_of(std::string_view zone) {
  constexpr std::array<std::pair<std::string_view, ZoneRole>, 7> known{{{"GPU-", ZoneRole::gpu},
                                                                        {"package", ZoneRole::cpu},
                                                                        {"cpu", ZoneRole::cpu},
                                                                        {"gpu", ZoneRole::gpu},
                                                                        {"dram", ZoneRole::memory},
                                                                        {"psys", ZoneRole::board},
                                                                        {"core", ZoneRole::other}}};
  const std::string_view last = zone.substr(zone.rfind(':') + 1);
  if (last.ends_with("/instant")) return ZoneRole::other;  // a second view of a card
  for (const auto& [prefix, role] : known)
    if (last.starts_with(prefix)) return role;
  return ZoneRole::any;
}

struct Track {
  std::vector<RecordingRow> rows;
  std::size_t next = 0;  // the first row that is still to come
};

class ReplayMeter : public Meter {
 public:
  ReplayMeter(std::vector<RecordingRow> rows, Clock& clock) : clock_(clock), origin_(clock.now()) {
    for (RecordingRow& row : rows) {
      auto at = std::find_if(zones_.begin(), zones_.end(), [&](const Zone& z) { return z.name == row.zone; });
      if (at == zones_.end()) {
        zones_.push_back({.name = row.zone, .role = role_of(row.zone)});
        tracks_.emplace_back();
        at = zones_.end() - 1;
      }
      at->counter = at->counter || row.energy.has_value();
      tracks_[static_cast<std::size_t>(at - zones_.begin())].rows.push_back(std::move(row));
    }
    for (std::size_t z = 0; z < zones_.size(); ++z) zones_[z].period = spacing(tracks_[z].rows);
  }
  std::string name() const override { return "replay"; }
  MeterLabel label() const override { return MeterLabel::replayed; }
  std::span<const Zone> zones() const override { return zones_; }
  void read(std::span<Reading> out) override {
    const Seconds elapsed = clock_.now() - origin_;
    for (std::size_t z = 0; z < tracks_.size(); ++z) out[z] = look(tracks_[z], zones_[z], elapsed);
  }

 private:
  // The median distance of rows stands for the sensor's period.
  static std::optional<Seconds> spacing(const std::vector<RecordingRow>& rows) {
    if (rows.size() < 2) return std::nullopt;
    std::vector<double> steps;
    for (std::size_t i = 1; i < rows.size(); ++i) steps.push_back((rows[i].time - rows[i - 1].time).value());
    std::nth_element(steps.begin(), steps.begin() + static_cast<std::ptrdiff_t>(steps.size() / 2), steps.end());
    const double middle = steps[steps.size() / 2];
    return middle > 0 ? std::optional(Seconds(middle)) : std::nullopt;
  }

  Reading look(Track& track, const Zone& zone, Seconds elapsed) const {
    while (track.next < track.rows.size() && track.rows[track.next].time <= elapsed) ++track.next;
    if (track.next == 0) return {origin_ + elapsed, std::nullopt, std::nullopt, Fault::none, {}};
    const RecordingRow& row = track.rows[track.next - 1];
    const Seconds patience = zone.period.value_or(Seconds(1)) * 5;
    if (track.next == track.rows.size() && elapsed > row.time + patience)
      return {origin_ + elapsed, std::nullopt, std::nullopt, Fault::unplugged,
              "the recording of '" + printable(zone.name) + "' ends at " + std::to_string(row.time.value()) + " s"};
    if (!row.energy && !row.power)
      return {origin_ + row.time, std::nullopt, std::nullopt, Fault::gap,
              "the recording has no value of '" + printable(zone.name) + "' at " + std::to_string(row.time.value()) + " s"};
    return {origin_ + row.time, row.energy, row.power, Fault::none, {}};
  }

  Clock& clock_;
  Seconds origin_;
  std::vector<Zone> zones_;
  std::vector<Track> tracks_;
};

std::unique_ptr<Meter> open(const std::string& argument, const MeterOptions& options) {
  return std::make_unique<ReplayMeter>(read_recording(argument), options.clock != nullptr ? *options.clock : monotonic_clock());
}

std::vector<MeterProbe> probe(const MeterOptions&) {
  return {{"replay", true, "on request: --meter replay:FILE plays a recording (samples.csv)", "", {}}};
}

}  // namespace

const MeterKind& entry() {
  static const MeterKind kind{"plays a recording of meters", "FILE", false, probe, open};
  return kind;
}

}  // namespace eaq::meter_replay

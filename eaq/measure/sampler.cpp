#include <algorithm>
#include <atomic>
#include <cstdio>
#include <mutex>
#include <thread>
#include <utility>

#include "eaq/measure/measure.h"

namespace eaq {
namespace {

constexpr std::size_t remembered_looks = 4096;
constexpr Seconds power_spacing(0.05);  // an unchanged power is noted so often

// What the sampler remembers of a zone between two polls.
struct Track {
  std::optional<Joules> energy;
  std::optional<Watts> power;
  Seconds last_value{}, last_edge{}, last_power{};
  Fault fault = Fault::none;
};

Seconds limit_of(const Zone& zone, double periods, Seconds least, Seconds unknown) {
  return zone.period ? std::max(*zone.period * periods, least) : unknown;
}

// Faults that only the passing of time shows: values that do not come, a counter that does not move.
Fault overdue(const Zone& zone, const Track& track, const Reading& reading, Seconds time) {
  const bool has_value = reading.energy || reading.power;
  const Seconds gap_limit = limit_of(zone, 5, Seconds(0.5), Seconds(5));
  if (!has_value && time - track.last_value > gap_limit) return Fault::gap;
  const Seconds stuck_limit = limit_of(zone, 10, Seconds(1), Seconds(5));
  if (zone.counter && reading.energy && track.energy == reading.energy && time - track.last_edge > stuck_limit)
    return Fault::stuck;
  return Fault::none;
}

std::string seconds_text(Seconds t) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3f s", t.value());
  return text;
}

}  // namespace

struct Sampler::State {
  State(MeterSet& set, Clock& c, const Options& options) : meters(set), clock(c), origin(c.now()), tracks(set.zones().size()) {
    bool counter = false;
    for (const auto& ref : meters.zones()) {
      const Meter& meter = *meters.meters()[ref.meter];
      record.zones.push_back({ref.full_name, ref.zone, meter.label(), meter.name(), {}});
      counter = counter || ref.zone.counter;
    }
    poll = options.poll > Seconds(0) ? options.poll : Seconds(counter ? 0.005 : 0.01);
    record.polls_per_s = 1 / poll.value();
  }

  void look() {
    const std::vector<Reading> readings = meters.read();
    const std::lock_guard lock(mutex);
    const Seconds now = clock.now();
    if (last_look) {
      if (distances.size() < remembered_looks) distances.push_back(0);
      distances[looks++ % distances.size()] = (now - *last_look).value();
    }
    last_look = now;
    for (std::size_t z = 0; z < readings.size(); ++z) note(record.zones[z], tracks[z], readings[z]);
  }

  void note(ZoneRecord& zone, Track& track, const Reading& reading) {
    const Seconds time = reading.time - origin;
    Fault fault = reading.fault;
    std::string reason = reading.reason;
    if (fault == Fault::none) {
      fault = overdue(zone.zone, track, reading, time);
      if (fault == Fault::gap) reason = zone.name + " gave no value since " + seconds_text(track.last_value);
      if (fault == Fault::stuck) reason = zone.name + " has not moved since " + seconds_text(track.last_edge);
    }
    if (fault != Fault::none) {
      if (track.fault != fault) zone.samples.push_back({time, std::nullopt, std::nullopt, fault, reason});
      track.fault = fault;
      return;
    }
    if (!reading.energy && !reading.power) return;
    const bool mended = std::exchange(track.fault, Fault::none) != Fault::none;
    Sample sample{time, std::nullopt, std::nullopt, Fault::none, {}};
    if (reading.energy && (mended || track.energy != reading.energy)) {
      if (track.energy && *reading.energy < *track.energy) note_fall(zone, track, time, *reading.energy);
      sample.energy = track.energy = reading.energy;
      track.last_edge = time;
    }
    const bool power_due = mended || track.power != reading.power || time - track.last_power >= power_spacing;
    if (reading.power && (power_due || sample.energy) && (!track.power || time > track.last_power)) {
      sample.power = track.power = reading.power;
      track.last_power = time;
    }
    track.last_value = time;
    if (sample.energy || sample.power) zone.samples.push_back(sample);
  }

  static void note_fall(ZoneRecord& zone, const Track& track, Seconds time, Joules now) {
    const auto range = zone.zone.range;
    const Fault fault = range && *track.energy > *range * 0.5 && now < *range * 0.5 ? Fault::wrapped : Fault::reset;
    zone.samples.push_back(
        {time, std::nullopt, std::nullopt, fault,
         zone.name + " fell from " + std::to_string(track.energy->value()) + " to " + std::to_string(now.value()) + " J"});
  }

  // A slow read makes looks rarer than was asked for. The median knows nothing of the pauses in which other programs ran.
  void count_looks() {
    if (!distances.empty()) record.polls_per_s = 1 / std::max(median(distances), 1e-6);
  }

  // Looks at even distances beat with a sensor's own period, and a slow beat bends the slope of every window alike: 0.2 % for
  // looks every 10 ms at a period of 50.1 ms. Uneven ones make noise of it, which the interval knows.
  Seconds next_look() { return clock.now() + poll * (0.5 + dither.uniform()); }

  void run() {
    while (!ending) {
      const Seconds next = next_look();
      look();
      clock.sleep_until(std::max(next, clock.now()));
    }
  }

  MeterSet& meters;
  Clock& clock;
  const Seconds origin;
  Seconds poll;
  std::mutex mutex;  // guards record and tracks
  SampleRecord record;
  std::vector<Track> tracks;
  std::optional<Seconds> last_look;
  std::vector<double> distances;  // of the latest looks
  std::size_t looks = 0;
  Rng dither{0};
  std::atomic<bool> ending{false};
  std::thread thread;
  VirtualClock* simulated = nullptr;
  int ticker = 0;
};

Sampler::Sampler(MeterSet& meters, Clock& clock, const Options& options)
    : state_(std::make_unique<State>(meters, clock, options)) {
  State& state = *state_;
  state.simulated = dynamic_cast<VirtualClock*>(&clock);
  if (state.simulated == nullptr) {
    state.thread = std::thread([&state] { state.run(); });
    return;
  }
  state.look();
  state.ticker = state.simulated->schedule(state.next_look(), [&state] {
    state.look();
    return state.next_look();
  });
}

Sampler::~Sampler() { stop(); }

Seconds Sampler::origin() const { return state_->origin; }

SampleRecord Sampler::stop() {
  State& state = *state_;
  if (state.ending.exchange(true)) return {};
  if (state.simulated != nullptr) state.simulated->stop(state.ticker);
  if (state.thread.joinable()) state.thread.join();
  state.look();
  state.count_looks();
  return std::move(state.record);
}

SampleRecord Sampler::record_so_far() {
  State& state = *state_;
  const std::lock_guard lock(state.mutex);
  state.count_looks();
  return state.record;
}

std::int64_t Sampler::seen(std::size_t zone, Seconds since) {
  State& state = *state_;
  const std::lock_guard lock(state.mutex);
  const ZoneRecord& record = state.record.zones.at(zone);
  std::int64_t values = 0;
  for (auto at = record.samples.rbegin(); at != record.samples.rend() && at->time >= since - state.origin; ++at)
    values += record.zone.counter ? at->energy.has_value() : at->power.has_value();
  return values;
}

std::optional<Watts> Sampler::recent_power(std::span<const std::size_t> zones, Seconds since) {
  State& state = *state_;
  const Seconds start = since - state.origin, end = state.clock.now() - state.origin;
  if (end <= start) return std::nullopt;
  const std::lock_guard lock(state.mutex);
  Watts sum;
  for (const std::size_t z : zones) {
    const WindowEnergy energy = window_energy(state.record.zones[z], start, end);
    if (!energy.joules) return std::nullopt;
    sum += *energy.joules / (end - start);
  }
  return sum;
}

}  // namespace eaq

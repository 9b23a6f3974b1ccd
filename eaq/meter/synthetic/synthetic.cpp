#include "eaq/meter/synthetic/synthetic.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace eaq::meter_synthetic {
namespace {

constexpr Joules counter_range(4294967.296);  // 2^32 mJ
// Without announcements a step is known only once it has run; a second without news is taken for idleness.
constexpr Seconds settling(1);

// stats is a floor-mate of meter, so the noise has its own small source: splitmix64 and Box and Muller's pair.
class Noise {
 public:
  explicit Noise(std::uint64_t seed) : state_(seed) {}
  double uniform() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return (static_cast<double>((z ^ (z >> 31)) >> 11) + 0.5) * 0x1p-53;
  }
  double normal() { return std::sqrt(-2 * std::log(uniform())) * std::cos(2 * std::numbers::pi * uniform()); }

 private:
  std::uint64_t state_;
};

class SyntheticMeter : public Meter, private StepListener {
 public:
  SyntheticMeter(Description description, std::string file, Clock& clock)
      : d_(std::move(description)),
        file_(std::move(file)),
        clock_(clock),
        origin_(clock.now()),
        trace_(origin_, d_.idle),
        noise_(d_.seed),
        tick_(origin_ + d_.period * (noise_.uniform() - 1)),
        shown_until_(origin_) {
    zone_ = {.name = "device", .role = ZoneRole::any, .counter = d_.counter, .period = d_.period, .window = d_.window};
    for (const PlannedFault& fault : d_.faults)
      if (fault.kind == PlannedFault::Kind::wrap) wraps_ = true;
    if (wraps_) zone_.range = counter_range;
  }

  std::string name() const override { return "synthetic"; }
  MeterLabel label() const override { return MeterLabel::synthetic; }
  std::span<const Zone> zones() const override { return {&zone_, 1}; }
  StepListener* listener() override { return this; }

  void read(std::span<Reading> out) override {
    const std::lock_guard lock(mutex_);
    const Seconds now = clock_.now();
    const Seconds known = running_ || announced_ ? now : std::max(trace_.latest(), now - settling);
    shown_until_ = std::max(shown_until_, std::min(known, now));
    for (; next_tick() <= shown_until_; ++ticks_) update(next_tick());
    trace_.forget(shown_until_ - d_.lag - d_.window - d_.period * 2 - Seconds(2));
    out[0] = with_faults({shown_until_, std::nullopt, std::nullopt, Fault::none, {}});
  }

 private:
  void on_begin(std::string_view kind, std::string_view format, Seconds start) override {
    const std::lock_guard lock(mutex_);
    announced_ = running_ = true;
    trace_.set(start, watts(kind, format));
  }
  void on_step(std::string_view kind, std::string_view format, Seconds start, Seconds end) override {
    const std::lock_guard lock(mutex_);
    if (!running_) trace_.set(start, watts(kind, format));
    running_ = false;
    trace_.set(end, d_.idle);
  }

  Watts watts(std::string_view kind, std::string_view format) const {
    for (const std::string_view k : {kind, std::string_view("*")})
      if (const auto row = d_.watts.find(k); row != d_.watts.end())
        for (const std::string_view f : {format, std::string_view("*")})
          if (const auto cell = row->second.find(f); cell != row->second.end()) return cell->second;
    throw Error(ErrorKind::input, file_ + ": no watts for a step of kind '" + printable(kind) + "' in format '" +
                                      printable(format) + "'; \"*\": {\"*\": WATTS} covers the rest");
  }

  Seconds next_tick() const { return tick_ + d_.period * static_cast<double>(ticks_ + 1); }

  // One update of the sensor's own registers.
  void update(Seconds u) {
    const double gain = 1 + d_.drift_per_minute * (u - origin_).value() / 60;
    const Seconds held = u - d_.lag;
    const Joules truth = trace_.energy(held);
    // A step reported late changes the truth of the past: its joules show at the next update.
    total_ += std::max(Joules(0), (truth - seen_) * gain + d_.noise * noise_.normal() * d_.period);
    seen_ = truth;
    power_ = (truth - trace_.energy(held - d_.window)) / d_.window * gain + d_.noise * noise_.normal();
    const Seconds elapsed = u - origin_;
    for (const PlannedFault& fault : d_.faults) {
      if (fault.time > elapsed || fault.time <= last_update_) continue;
      if (fault.kind == PlannedFault::Kind::wrap || fault.kind == PlannedFault::Kind::reset) base_ = total_, fell_ = true;
      if (fault.kind == PlannedFault::Kind::stuck) stuck_ = true;
    }
    last_update_ = elapsed;
    if (stuck_) return;
    shown_energy_ = quantised(total_ - base_);
    // A counter about to wrap stands in the upper part of its range.
    if (wraps_ && !fell_) shown_energy_ += counter_range * 0.95;
    shown_power_ = power_;
    has_value_ = true;
  }

  Joules quantised(Joules e) const { return d_.step > Joules(0) ? d_.step * std::floor(e / d_.step) : e; }

  Reading with_faults(Reading reading) const {
    const Seconds elapsed = reading.time - origin_;
    for (const PlannedFault& fault : d_.faults) {
      if (fault.time > elapsed) break;
      if (fault.kind == PlannedFault::Kind::denied) {
        reading.fault = Fault::denied;
        reading.reason = file_ + ": permission denied from " + std::to_string(fault.time.value()) + " s on, as planned";
        return reading;
      }
      if (fault.kind == PlannedFault::Kind::gap && elapsed < fault.time + std::max(Seconds(1), d_.period * 10)) return reading;
    }
    if (!has_value_) return reading;
    if (d_.counter) reading.energy = shown_energy_;
    reading.power = shown_power_;
    return reading;
  }

  const Description d_;
  const std::string file_;
  Clock& clock_;
  Zone zone_;
  std::mutex mutex_;  // steps are told by one thread, read by another
  const Seconds origin_;
  PowerTrace trace_;
  Noise noise_;
  const Seconds tick_;  // the sensor's phase is its own
  std::int64_t ticks_ = 0;
  Seconds shown_until_, last_update_{-1};
  bool running_ = false, announced_ = false, wraps_ = false, fell_ = false, stuck_ = false, has_value_ = false;
  Joules seen_{}, total_{}, base_{}, shown_energy_{};
  Watts power_{}, shown_power_{};
};

std::unique_ptr<Meter> open(const std::string& argument, const MeterOptions& options) {
  return std::make_unique<SyntheticMeter>(read_description(argument), printable(argument),
                                          options.clock != nullptr ? *options.clock : monotonic_clock());
}

std::vector<MeterProbe> probe(const MeterOptions&) {
  return {{"synthetic", true, "on request: --meter synthetic:FILE, known joules for tests", "", {}}};
}

}  // namespace

void PowerTrace::set(Seconds from, Watts power) {
  const Point last = points_.back();
  const Seconds at = std::max(from, last.time);
  points_.push_back({at, last.energy + last.power * (at - last.time), power});
}

Joules PowerTrace::energy(Seconds t) const {
  if (t <= points_.front().time) return points_.front().energy - idle_ * (points_.front().time - t);
  const auto after = std::upper_bound(points_.begin(), points_.end(), t, [](Seconds a, const Point& p) { return a < p.time; });
  const Point& point = *(after - 1);
  return point.energy + point.power * (t - point.time);
}

void PowerTrace::forget(Seconds before) {
  while (points_.size() > 1 && points_[1].time <= before) points_.pop_front();
}

const MeterKind& entry() {
  static const MeterKind kind{"known joules: sees which steps run, for tests", "FILE", false, probe, open};
  return kind;
}

}  // namespace eaq::meter_synthetic

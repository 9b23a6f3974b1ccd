// Time that passes only when somebody sleeps: what takes minutes on a machine is simulated in microseconds.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "eaq/base/clock.h"

namespace eaq {

/// A clock for one thread. Whoever wants to act at regular times (a sampler) registers; its calls come in order of time, while
/// another's sleep passes.
class VirtualClock : public Clock {
 public:
  explicit VirtualClock(Seconds start = Seconds(1000)) : now_(start) {}

  Seconds now() override { return now_; }
  void sleep_until(Seconds t) override;

  /// Calls `act` at every multiple of `period` from now on; returns a token for stop().
  int every(Seconds period, std::function<void()> act);
  void stop(int token);

 private:
  struct Ticker {
    int token;
    Seconds origin, period;
    std::int64_t count;  // ticks done; times are computed from it, so that they do not drift
    std::function<void()> act;
    Seconds next() const { return origin + period * static_cast<double>(count + 1); }
  };
  Seconds now_;
  int tokens_ = 0;
  std::vector<Ticker> tickers_;
};

}  // namespace eaq

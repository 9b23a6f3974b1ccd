// Time that passes only when somebody sleeps: what takes minutes on a machine is simulated in microseconds.
#pragma once

#include <functional>
#include <vector>

#include "eaq/base/clock.h"

namespace eaq {

/// A clock for one thread. Whoever wants to act at times of its own (a sampler) registers; its calls come in order of time, while
/// another's sleep passes.
class VirtualClock : public Clock {
 public:
  explicit VirtualClock(Seconds start = Seconds(1000)) : now_(start) {}

  Seconds now() override { return now_; }
  void sleep_until(Seconds t) override;

  /// Calls `act` at `first`, then whenever it asked for: it returns its next time. Returns a token for stop().
  int schedule(Seconds first, std::function<Seconds()> act);
  void stop(int token);

 private:
  struct Alarm {
    int token;
    Seconds next;
    std::function<Seconds()> act;
  };
  Seconds now_;
  int tokens_ = 0;
  std::vector<Alarm> alarms_;
};

}  // namespace eaq

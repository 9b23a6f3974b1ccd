#include "eaq/base/clock.h"

#include <chrono>
#include <ctime>
#include <thread>

namespace eaq {
namespace {

class MonotonicClock : public Clock {
 public:
  Seconds now() override {
    return Seconds(std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count());
  }
  void sleep_until(Seconds t) override {
    const Seconds left = t - now();
    if (left > Seconds(0)) std::this_thread::sleep_for(std::chrono::duration<double>(left.value()));
  }
};

std::string formatted(const std::tm& time, const char* pattern) {
  char text[32];
  return {text, std::strftime(text, sizeof text, pattern, &time)};
}

}  // namespace

Clock& monotonic_clock() {
  static MonotonicClock clock;
  return clock;
}

std::string timestamp_utc() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  return formatted(parts, "%Y-%m-%dT%H:%M:%SZ");
}

std::string date_local() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  localtime_r(&now, &parts);
  return formatted(parts, "%Y-%m-%d");
}

}  // namespace eaq

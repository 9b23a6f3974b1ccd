#include "eaq/base/virtual_clock.h"

#include <algorithm>
#include <utility>

namespace eaq {

void VirtualClock::sleep_until(Seconds t) {
  while (!alarms_.empty()) {
    const auto due =
        std::min_element(alarms_.begin(), alarms_.end(), [](const Alarm& a, const Alarm& b) { return a.next < b.next; });
    if (due->next > t) break;
    now_ = std::max(now_, due->next);
    due->next = due->act();  // may not schedule or stop
  }
  now_ = std::max(now_, t);
}

int VirtualClock::schedule(Seconds first, std::function<Seconds()> act) {
  alarms_.push_back({++tokens_, first, std::move(act)});
  return tokens_;
}

void VirtualClock::stop(int token) {
  std::erase_if(alarms_, [&](const Alarm& alarm) { return alarm.token == token; });
}

}  // namespace eaq

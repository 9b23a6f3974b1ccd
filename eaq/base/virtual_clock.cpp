#include "eaq/base/virtual_clock.h"

#include <algorithm>
#include <utility>

namespace eaq {

void VirtualClock::sleep_until(Seconds t) {
  while (!tickers_.empty()) {
    const auto due =
        std::min_element(tickers_.begin(), tickers_.end(), [](const Ticker& a, const Ticker& b) { return a.next() < b.next(); });
    if (due->next() > t) break;
    now_ = std::max(now_, due->next());
    ++due->count;
    due->act();  // may not register or stop a ticker
  }
  now_ = std::max(now_, t);
}

int VirtualClock::every(Seconds period, std::function<void()> act) {
  tickers_.push_back({++tokens_, now_, period, 0, std::move(act)});
  return tokens_;
}

void VirtualClock::stop(int token) {
  std::erase_if(tickers_, [&](const Ticker& t) { return t.token == token; });
}

}  // namespace eaq

#include "eaq/base/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <mutex>
#include <utility>

#include "eaq/base/clock.h"

namespace eaq {
namespace {

std::atomic<bool> quiet{false};
std::mutex screen;  // one writer at a time; guards `bar_shown`
bool bar_shown = false;

void clear_bar() {
  if (std::exchange(bar_shown, false)) std::fputs("\r\033[2K", stderr);
}

int terminal_width() {
  winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
}

std::string duration(double seconds) {
  const auto s = static_cast<long>(std::ceil(std::max(seconds, 0.0)));
  char text[32];
  if (s >= 3600)
    std::snprintf(text, sizeof text, "%ld:%02ld h", s / 3600, s / 60 % 60);
  else if (s >= 60)
    std::snprintf(text, sizeof text, "%ld:%02ld min", s / 60, s % 60);
  else
    std::snprintf(text, sizeof text, "%ld s", s);
  return text;
}

}  // namespace

struct Progress::State {
  std::string title;
  double total;
  Style style;
  Seconds begin = monotonic_clock().now();
  Seconds last_line{-1e9};
  double done = 0, given = 0;

  void show(std::string_view what) {
    const Seconds now = monotonic_clock().now();
    const double part = total > 0 ? std::clamp(done / total, 0.0, 1.0) : 0.0;
    const double spent = (now - begin).value();
    const double won = done - given;  // in the time that was spent
    std::string left = won > 0.01 * total && spent > 1 ? duration(spent / won * std::max(total - done, 0.0)) + " left" : "";
    const std::lock_guard lock(screen);
    if (style == Style::bar) {
      const int cells = 24, full = static_cast<int>(part * cells);
      std::string line = title + " [" + std::string(full, '#') + std::string(cells - full, '.') + "] ";
      line += std::to_string(static_cast<int>(part * 100)) + " %  " + left + (left.empty() || what.empty() ? "" : "  ") +
              std::string(what);
      line.resize(std::min<std::size_t>(line.size(), static_cast<std::size_t>(terminal_width() - 1)));
      std::fprintf(stderr, "\r\033[2K%s", line.c_str());
      bar_shown = true;
    } else if (now - last_line >= Seconds(10)) {  // a log wants a line now and then, not a hundred a second
      last_line = now;
      std::fprintf(stderr, "%s: %d %%%s%s%s%s\n", title.c_str(), static_cast<int>(part * 100), left.empty() ? "" : ", ",
                   left.c_str(), what.empty() ? "" : ", ", std::string(what).c_str());
    }
    std::fflush(stderr);
  }
};

Progress::Progress(std::string title, double total, Style style) : state_(std::make_unique<State>()) {
  if (style == Style::automatic) style = ::isatty(STDERR_FILENO) ? Style::bar : Style::lines;
  if (is_quiet()) style = Style::none;
  state_->title = std::move(title);
  state_->total = total;
  state_->style = style;
}

Progress::~Progress() {
  const std::lock_guard lock(screen);
  clear_bar();
  std::fflush(stderr);
}

void Progress::update(double done, std::string_view what) {
  state_->done = done;
  if (state_->style != Style::none) state_->show(what);
}

void Progress::count_as_given(double units) { state_->given = units; }

void Progress::advance(double units, std::string_view what) { update(state_->done + units, what); }

void set_quiet(bool value) { quiet = value; }
bool is_quiet() { return quiet; }

void warn(std::string_view line) {
  const std::lock_guard lock(screen);
  clear_bar();
  std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
}

void note(std::string_view line) {
  if (!is_quiet()) warn(line);
}

}  // namespace eaq

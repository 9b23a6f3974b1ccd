// Barriers, and what lanes of a warp tell each other.
#pragma once

#include "emulated/block.h"

namespace emulated {

template <class T>
struct Shuffled {
  T value, result;
  unsigned source;  // the lane that is asked
};

// What an absent lane answers is undefined on a card: 0xFF bytes here, NaN.
template <class T>
void exchange_shuffled(void* const (&lanes)[warp_lanes]) {
  for (void* lane : lanes) {
    if (lane == nullptr) continue;
    auto& mine = *static_cast<Shuffled<T>*>(lane);
    if (const auto* asked = static_cast<const Shuffled<T>*>(lanes[mine.source]); asked != nullptr)
      mine.result = asked->value;
    else
      __builtin_memset(static_cast<void*>(&mine.result), 0xff, sizeof(T));
  }
}

template <class T>
T shuffle(unsigned mask, const char* what, T value, int source, int width, const Place& place) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8);
  if (width < 1 || width > 32 || (width & (width - 1)) != 0) fail("%s with width %d", what, width);
  Shuffled<T> mine{value, value, static_cast<unsigned>(source)};
  meet_warp(mask, what, &mine, exchange_shuffled<T>, place);
  return mine.result;
}

// First lane of the caller's part of the warp.
inline int part(int width) { return static_cast<int>(lane()) / width * width; }

struct Vote {
  bool yes;
  unsigned ballot, present;
};

inline void exchange_votes(void* const (&lanes)[warp_lanes]) {
  unsigned ballot = 0, present = 0;
  for (unsigned i = 0; i < warp_lanes; ++i) {
    if (lanes[i] == nullptr) continue;
    present |= 1u << i;
    if (static_cast<const Vote*>(lanes[i])->yes) ballot |= 1u << i;
  }
  for (void* lane : lanes)
    if (lane != nullptr) *static_cast<Vote*>(lane) = {false, ballot, present};
}

inline Vote vote(unsigned mask, const char* what, bool yes, const Place& place) {
  Vote mine{yes, 0, 0};
  meet_warp(mask, what, &mine, exchange_votes, place);
  return mine;
}

inline void exchange_nothing(void* const (&)[warp_lanes]) {}

}  // namespace emulated

inline void __syncthreads(const emulated::Place& place = emulated::Place::current()) { emulated::wait_for_block(place); }

inline void __syncwarp(unsigned mask = 0xffffffffu, const emulated::Place& place = emulated::Place::current()) {
  char nothing = 0;
  emulated::meet_warp(mask, "__syncwarp()", &nothing, emulated::exchange_nothing, place);
}

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, const emulated::Place& place = emulated::Place::current()) {
  return emulated::shuffle(mask, "__shfl_sync()", value, emulated::part(width) + (source & (width - 1)), width, place);
}

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, const emulated::Place& place = emulated::Place::current()) {
  const int lane = static_cast<int>(emulated::lane()), source = lane ^ bits;
  // Lanes of later parts are not reached, those of earlier ones are.
  return emulated::shuffle(mask, "__shfl_xor_sync()", value, source < emulated::part(width) + width ? source : lane, width,
                           place);
}

template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32,
                   const emulated::Place& place = emulated::Place::current()) {
  const int lane = static_cast<int>(emulated::lane()), source = lane + static_cast<int>(by);
  return emulated::shuffle(mask, "__shfl_down_sync()", value, source < emulated::part(width) + width ? source : lane, width,
                           place);
}

template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32, const emulated::Place& place = emulated::Place::current()) {
  const int lane = static_cast<int>(emulated::lane()), source = lane - static_cast<int>(by);
  return emulated::shuffle(mask, "__shfl_up_sync()", value, source >= emulated::part(width) ? source : lane, width, place);
}

inline unsigned __ballot_sync(unsigned mask, int yes, const emulated::Place& place = emulated::Place::current()) {
  return emulated::vote(mask, "__ballot_sync()", yes != 0, place).ballot;
}
inline int __any_sync(unsigned mask, int yes, const emulated::Place& place = emulated::Place::current()) {
  return emulated::vote(mask, "__any_sync()", yes != 0, place).ballot != 0;
}
inline int __all_sync(unsigned mask, int yes, const emulated::Place& place = emulated::Place::current()) {
  const emulated::Vote all = emulated::vote(mask, "__all_sync()", yes != 0, place);
  return all.ballot == all.present;
}
/// All that have not returned: which of them run side by side, a card does not promise either.
inline unsigned __activemask() { return emulated::living_lanes(); }

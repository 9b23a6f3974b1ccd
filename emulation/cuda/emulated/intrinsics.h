// Memory: atomics (one thread runs at a time), fences, loads and stores with cache hints, bits.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace emulated {

template <class T, class Change>
T change(T* at, Change to) {
  const T before = *at;
  *at = to(before);
  return before;
}

}  // namespace emulated

inline int atomicAdd(int* at, int by) {
  // As a card does, without an overflow that C++ would not have.
  return emulated::change(at, [by](int x) { return static_cast<int>(static_cast<unsigned>(x) + static_cast<unsigned>(by)); });
}
inline unsigned atomicAdd(unsigned* at, unsigned by) {
  return emulated::change(at, [by](unsigned x) { return x + by; });
}
inline unsigned long long atomicAdd(unsigned long long* at, unsigned long long by) {
  return emulated::change(at, [by](unsigned long long x) { return x + by; });
}
inline float atomicAdd(float* at, float by) {
  return emulated::change(at, [by](float x) { return x + by; });
}
inline double atomicAdd(double* at, double by) {
  return emulated::change(at, [by](double x) { return x + by; });
}
inline int atomicMax(int* at, int with) {
  return emulated::change(at, [with](int x) { return x > with ? x : with; });
}
inline unsigned atomicMax(unsigned* at, unsigned with) {
  return emulated::change(at, [with](unsigned x) { return x > with ? x : with; });
}
inline int atomicMin(int* at, int with) {
  return emulated::change(at, [with](int x) { return x < with ? x : with; });
}
inline unsigned atomicMin(unsigned* at, unsigned with) {
  return emulated::change(at, [with](unsigned x) { return x < with ? x : with; });
}
template <class T>
T atomicExch(T* at, std::type_identity_t<T> value) {
  return emulated::change(at, [value](T) { return value; });
}
template <class T>
T atomicCAS(T* at, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  return emulated::change(at, [=](T x) { return x == expected ? value : x; });
}

inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __threadfence_system() {}

template <class T>
T __ldg(const T* from) {
  return *from;
}
template <class T>
T __ldcs(const T* from) {
  return *from;
}
template <class T>
T __ldcg(const T* from) {
  return *from;
}
template <class T>
T __ldca(const T* from) {
  return *from;
}
template <class T>
void __stcs(T* to, std::type_identity_t<T> value) {
  *to = value;
}
template <class T>
void __stcg(T* to, std::type_identity_t<T> value) {
  *to = value;
}

inline int __popc(unsigned x) { return std::popcount(x); }
inline int __popcll(unsigned long long x) { return std::popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline unsigned __brev(unsigned x) {
  unsigned reversed = 0;
  for (int i = 0; i < 32; ++i) reversed = reversed << 1 | (x >> i & 1);
  return reversed;
}
[[noreturn]] inline void __trap() { emulated::fail("__trap()"); }

// A call stack that can be left and come back to. ucontext would do, but each of its switches is a system call, and
// AddressSanitizer takes a stack's redzones away at each.
#pragma once

#include <cstddef>

namespace emulated {

/// Runs `body` again and again, each time that it is resumed after `body` has returned.
class Fiber {
 public:
  explicit Fiber(void (*body)());
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// From outside: runs the fiber until it suspends itself or its body returns.
  void resume();
  /// From inside.
  void suspend();

 private:
  static void enter();
  void begin();

  void (*body_)();
  std::byte* memory_ = nullptr;
  void *here_ = nullptr, *outside_ = nullptr;  // stack pointers, where the one or the other goes on
  // What AddressSanitizer keeps of the two stacks.
  void *fake_stack_ = nullptr, *fake_stack_outside_ = nullptr;
  const void* outside_bottom_ = nullptr;
  std::size_t outside_bytes_ = 0;
};

}  // namespace emulated

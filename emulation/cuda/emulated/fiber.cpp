#include "emulated/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <new>

// Present where the program is built with AddressSanitizer.
extern "C" {
[[gnu::weak]] void __sanitizer_start_switch_fiber(void** fake_stack_save, const void* bottom, std::size_t bytes);
[[gnu::weak]] void __sanitizer_finish_switch_fiber(void* fake_stack_save, const void** bottom_old, std::size_t* bytes_old);

/// Saves what a call must preserve and the stack pointer, and goes on where `to` was saved. x86-64, System V.
void eaq_emulated_switch(void** from, void* to);
}

asm(R"(
.text
.type eaq_emulated_switch, @function
.globl eaq_emulated_switch
eaq_emulated_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size eaq_emulated_switch, .-eaq_emulated_switch
)");

namespace emulated {
namespace {

// A sanitized frame is several times the size of a plain one. Pages that no thread touches take no memory.
constexpr std::size_t stack_bytes = 128 << 10, guard_bytes = 4096;

void start_switch(void** fake_stack, const void* bottom, std::size_t bytes) {
  if (__sanitizer_start_switch_fiber != nullptr) __sanitizer_start_switch_fiber(fake_stack, bottom, bytes);
}

void finish_switch(void* fake_stack, const void** bottom, std::size_t* bytes) {
  if (__sanitizer_finish_switch_fiber != nullptr) __sanitizer_finish_switch_fiber(fake_stack, bottom, bytes);
}

Fiber* entering = nullptr;  // one OS thread at a time runs fibers

}  // namespace

Fiber::Fiber(void (*body)()) : body_(body) {
  void* memory =
      mmap(nullptr, guard_bytes + stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED || mprotect(memory, guard_bytes, PROT_NONE) != 0) throw std::bad_alloc();
  memory_ = static_cast<std::byte*>(memory);
  // As eaq_emulated_switch would have left it: six registers, where it returns to, and, aligned as after a call, where nobody
  // returns to.
  auto** top = reinterpret_cast<void**>(memory_ + guard_bytes + stack_bytes) - 1;
  *--top = reinterpret_cast<void*>(&Fiber::enter);
  here_ = top - 6;
}

Fiber::~Fiber() { munmap(memory_, guard_bytes + stack_bytes); }

void Fiber::resume() {
  entering = this;
  start_switch(&fake_stack_outside_, memory_ + guard_bytes, stack_bytes);
  eaq_emulated_switch(&outside_, here_);
  finish_switch(fake_stack_outside_, nullptr, nullptr);
}

void Fiber::suspend() {
  start_switch(&fake_stack_, outside_bottom_, outside_bytes_);
  eaq_emulated_switch(&here_, outside_);
  finish_switch(fake_stack_, &outside_bottom_, &outside_bytes_);
}

void Fiber::enter() { entering->begin(); }

void Fiber::begin() {
  finish_switch(nullptr, &outside_bottom_, &outside_bytes_);
  for (;;) {
    body_();
    suspend();
  }
}

}  // namespace emulated

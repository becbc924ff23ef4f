#include "tests/sim/sim_fiber.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"

#if defined(__SANITIZE_ADDRESS__)
#define FIBER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIBER_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define FIBER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define FIBER_TSAN 1
#endif
#endif

#ifdef FIBER_ASAN
#include <sanitizer/common_interface_defs.h>
#define STACK_SIZE ((size_t)1024 * 1024)
#else
#define STACK_SIZE ((size_t)512 * 1024)
#endif
#ifdef FIBER_TSAN
#include <sanitizer/tsan_interface.h>
#endif

#if defined(__x86_64__)
/* Half of a run's time went into swapcontext(), which asks the kernel for the signal mask each time. */
struct place {
  void *top;
};
void sim_place_switch(struct place *from, const struct place *to);
__asm__(".text\n"
        ".type sim_place_switch, @function\n"
        "sim_place_switch:\n"
        "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
        "  movq %rsp, (%rdi)\n"
        "  movq (%rsi), %rsp\n"
        "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n"
        "  ret\n"
        ".size sim_place_switch, . - sim_place_switch\n");

static void place_prepare(struct place *place, uint8_t *memory, size_t size, void (*entry)(void)) {
  void **top = (void **)(void *)(memory + size);
  *--top = NULL; /* where a return address would be: the entry finds the alignment of a call */
  *--top = (void *)(uintptr_t)entry;
  top -= 6;
  memset(top, 0, 6 * sizeof *top);
  place->top = top;
}
#else
#include <ucontext.h>
struct place {
  ucontext_t context;
};
static void sim_place_switch(struct place *from, const struct place *to) {
  CHECK(swapcontext(&from->context, &to->context) == 0);
}
static void place_prepare(struct place *place, uint8_t *memory, size_t size, void (*entry)(void)) {
  CHECK(getcontext(&place->context) == 0);
  place->context.uc_stack.ss_sp = memory;
  place->context.uc_stack.ss_size = size;
  place->context.uc_link = NULL;
  makecontext(&place->context, entry, 0);
}
#endif

#define SENTRY 0xca112b0b5afe57acu /* at the far end of a stack: gone when it overflowed */
#define SPARE_MAX 64u

struct sim_stack {
  struct place inside;
  struct place outside;
  void (*run)(void *context);
  void *context;
  uint8_t *memory;
  bool entered;
  bool over;
#ifdef FIBER_ASAN
  void *fake_inside;
  void *fake_outside;
  const void *outside_bottom;
  size_t outside_size;
#endif
#ifdef FIBER_TSAN
  void *tsan_inside;
  void *tsan_outside;
#endif
};

/* Stacks of ended fibers, kept for the next ones: a test runs thousands of short simulations. */
static uint8_t *spare[SPARE_MAX];
static unsigned spare_count;

static void put_sentry(uint8_t *memory) {
  uint64_t sentry = SENTRY;
  memcpy(memory, &sentry, sizeof sentry);
}

static void check_sentry(const struct sim_stack *stack) {
  uint64_t sentry = 0;
  memcpy(&sentry, stack->memory, sizeof sentry);
  CHECK_MSG(sentry == SENTRY, "a fiber's stack of %zu bytes overflowed", STACK_SIZE);
}

/* First thing after every switch into the stack. */
static void arrived_inside(struct sim_stack *stack) {
#ifdef FIBER_ASAN
  __sanitizer_finish_switch_fiber(stack->fake_inside, &stack->outside_bottom, &stack->outside_size);
#endif
  (void)stack;
}

static struct sim_stack *entering; /* handed to a stack that runs for the first time */

static void stack_main(void) {
  struct sim_stack *stack = entering;
  arrived_inside(stack);
  stack->run(stack->context);
  stack->over = true;
#ifdef FIBER_ASAN
  __sanitizer_start_switch_fiber(NULL, stack->outside_bottom, stack->outside_size);
#endif
#ifdef FIBER_TSAN
  __tsan_switch_to_fiber(stack->tsan_outside, 0);
#endif
  sim_place_switch(&stack->inside, &stack->outside);
  CHECK_MSG(false, "a fiber ran past its end");
}

struct sim_stack *sim_stack_new(void (*run)(void *context), void *context) {
  struct sim_stack *stack = NEW(struct sim_stack);
  stack->run = run;
  stack->context = context;
  stack->memory = spare_count > 0 ? spare[--spare_count] : memory_new_aligned(4096, STACK_SIZE);
  put_sentry(stack->memory);
  place_prepare(&stack->inside, stack->memory, STACK_SIZE, stack_main);
#ifdef FIBER_TSAN
  stack->tsan_inside = __tsan_create_fiber(0);
#endif
  return stack;
}

void sim_stack_free(struct sim_stack *stack) {
  if (stack == NULL) return;
  PRE(stack->over || !stack->entered);
#ifdef FIBER_TSAN
  __tsan_destroy_fiber(stack->tsan_inside);
#endif
  check_sentry(stack);
  if (spare_count < SPARE_MAX) spare[spare_count++] = stack->memory;
  else memory_free(stack->memory);
  memory_free(stack);
}

bool sim_stack_over(const struct sim_stack *stack) { return stack->over; }

void sim_stack_enter(struct sim_stack *stack) {
  PRE(!stack->over);
  stack->entered = true;
#ifdef FIBER_ASAN
  __sanitizer_start_switch_fiber(&stack->fake_outside, stack->memory, STACK_SIZE);
#endif
#ifdef FIBER_TSAN
  stack->tsan_outside = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(stack->tsan_inside, 0);
#endif
  entering = stack;
  sim_place_switch(&stack->outside, &stack->inside);
#ifdef FIBER_ASAN
  __sanitizer_finish_switch_fiber(stack->fake_outside, NULL, NULL);
#endif
  check_sentry(stack);
}

void sim_stack_leave(struct sim_stack *stack) {
#ifdef FIBER_ASAN
  __sanitizer_start_switch_fiber(&stack->fake_inside, stack->outside_bottom, stack->outside_size);
#endif
#ifdef FIBER_TSAN
  __tsan_switch_to_fiber(stack->tsan_outside, 0);
#endif
  sim_place_switch(&stack->inside, &stack->outside);
  arrived_inside(stack);
}

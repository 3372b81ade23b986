/* lib/net/fiber_ctx.h - switching between stacks; for fiber.c. */
#ifndef GATEPOST_LIB_NET_FIBER_CTX_H
#define GATEPOST_LIB_NET_FIBER_CTX_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __has_feature
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__ 1 /* gcc's name for it */
#endif
#endif

#if !FIBER_X86_64
#include <ucontext.h>
#endif

/* Where a suspended fiber, or the loop, goes on. */
struct fiber_ctx {
#if FIBER_X86_64
	void *sp; /* the registers are on its stack */
#else
	ucontext_t uc;
	void *low; /* its stack below this is not in use */
#endif
#ifdef __SANITIZE_ADDRESS__
	void *fake_stack;
	const void *stack_low;
	size_t stack_size;
#endif
};

/* Make c start at entry(), which must not return, on the stack [low, low + size). low and size are multiples of 16. */
void fiber_ctx_make(struct fiber_ctx *c, void *low, size_t size, void (*entry)(void));
/* Go on with `to`; returns when somebody switches back to `from`. ends: nobody will. */
void fiber_ctx_switch(struct fiber_ctx *from, struct fiber_ctx *to, bool ends);
/* First thing in entry(): `from` is the context that switched to this one. */
void fiber_ctx_entered(struct fiber_ctx *from);
/* What lies below this address on the stack of a suspended context is dead. */
char *fiber_ctx_low(const struct fiber_ctx *c);

#endif

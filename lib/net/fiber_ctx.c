/* lib/net/fiber_ctx.c - switching between stacks: a dozen instructions on x86_64, swapcontext(3) elsewhere.
 * AddressSanitizer is told about each switch, or it would take one stack's frames for another's.
 */
#include "lib/net/fiber_ctx.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

/* ---- what the sanitizer wants to know ---- */

#ifdef __SANITIZE_ADDRESS__
static void leaving(struct fiber_ctx *from, const struct fiber_ctx *to, bool ends)
{
	__sanitizer_start_switch_fiber(ends ? NULL : &from->fake_stack, to->stack_low, to->stack_size);
}

static void arrived(struct fiber_ctx *self)
{
	__sanitizer_finish_switch_fiber(self->fake_stack, NULL, NULL);
}

/* The loop's stack is not ours: its place is known once somebody has come from there. */
void fiber_ctx_entered(struct fiber_ctx *from)
{
	__sanitizer_finish_switch_fiber(NULL, &from->stack_low, &from->stack_size);
}

static void note_stack(struct fiber_ctx *c, const void *low, size_t size)
{
	c->stack_low = low;
	c->stack_size = size;
}
#else
static void leaving(struct fiber_ctx *from, const struct fiber_ctx *to, bool ends)
{
	(void)from; /* nobody is watching */
	(void)to;
	(void)ends;
}

static void arrived(struct fiber_ctx *self)
{
	(void)self; /* nobody is watching */
}

void fiber_ctx_entered(struct fiber_ctx *from)
{
	(void)from; /* nobody is watching */
}

static void note_stack(struct fiber_ctx *c, const void *low, size_t size)
{
	(void)c; /* nobody is watching */
	(void)low;
	(void)size;
}
#endif

/* ---- the switch ---- */

#if FIBER_X86_64
void fiber_ctx_swap(void **save_sp, void *load_sp);

/* System V ABI: rbx, rbp and r12 to r15 are the callee's to keep. So are the rounding modes of the x87 and of SSE, which nothing in
 * this program changes. The first "return" of a new stack goes to its entry function. */
__asm__(".text\n"
	".p2align 4\n"
	".globl fiber_ctx_swap\n"
	".hidden fiber_ctx_swap\n"
	".type fiber_ctx_swap, @function\n"
	"fiber_ctx_swap:\n"
	".cfi_startproc\n"
	"	pushq %rbp\n"
	"	pushq %rbx\n"
	"	pushq %r12\n"
	"	pushq %r13\n"
	"	pushq %r14\n"
	"	pushq %r15\n"
	"	movq %rsp, (%rdi)\n"
	"	movq %rsi, %rsp\n"
	"	popq %r15\n"
	"	popq %r14\n"
	"	popq %r13\n"
	"	popq %r12\n"
	"	popq %rbx\n"
	"	popq %rbp\n"
	"	ret\n"
	".cfi_endproc\n"
	".size fiber_ctx_swap, .-fiber_ctx_swap\n");

#define SAVED_REGISTERS 6

void fiber_ctx_make(struct fiber_ctx *c, void *low, size_t size, void (*entry)(void))
{
	/* At a function's entry rsp is 8 below a multiple of 16 and points to the return address: none, the stack ends here. */
	void **sp = (void **)(void *)((char *)low + size) - 1;

	*sp = NULL;
	*--sp = (void *)(size_t)entry;
	for (int i = 0; i < SAVED_REGISTERS; i++)
		*--sp = NULL;
	c->sp = sp;
	note_stack(c, low, size);
}

void fiber_ctx_switch(struct fiber_ctx *from, struct fiber_ctx *to, bool ends)
{
	leaving(from, to, ends);
	fiber_ctx_swap(&from->sp, to->sp);
	arrived(from);
}

char *fiber_ctx_low(const struct fiber_ctx *c)
{
	return c->sp;
}
#else
#define SWAP_FRAMES 4096 /* more than swapcontext() uses below its caller */

void fiber_ctx_make(struct fiber_ctx *c, void *low, size_t size, void (*entry)(void))
{
	getcontext(&c->uc);
	c->uc.uc_stack.ss_sp = low;
	c->uc.uc_stack.ss_size = size;
	c->uc.uc_link = NULL;
	makecontext(&c->uc, entry, 0);
	note_stack(c, low, size);
}

void fiber_ctx_switch(struct fiber_ctx *from, struct fiber_ctx *to, bool ends)
{
	from->low = (char *)__builtin_frame_address(0) - SWAP_FRAMES;
	leaving(from, to, ends);
	swapcontext(&from->uc, &to->uc);
	arrived(from);
}

char *fiber_ctx_low(const struct fiber_ctx *c)
{
	return c->low;
}
#endif

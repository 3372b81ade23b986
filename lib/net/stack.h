/* lib/net/stack.h - guarded stacks for fibers, recycled; for fiber.c. */
#ifndef GATEPOST_LIB_NET_STACK_H
#define GATEPOST_LIB_NET_STACK_H

#include <stddef.h>

/* Lowest usable address of a stack of stack_size() octets; an unmapped page lies below it. Ends the process when there is no memory. */
char *stack_take(void);
size_t stack_size(void);
void stack_give(char *low);
/* The stack is not in use below `used`: its memory there goes back to the system. */
void stack_trim(char *low, char *used);
void stack_trim_free(void); /* the same for stacks that wait for their next fiber */

#endif

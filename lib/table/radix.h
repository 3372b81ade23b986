/* lib/table/radix.h - a set of numbered IP networks: the least number among all networks that contain an address, in a few dozen steps
 * however many there are.
 */
#ifndef GATEPOST_LIB_TABLE_RADIX_H
#define GATEPOST_LIB_TABLE_RADIX_H

#include "lib/mail/ip.h"

#define RADIX_NONE UINT32_MAX

struct radix;

struct radix *radix_new(void);
void radix_free(struct radix *r); /* NULL allowed */
void radix_add(struct radix *r, const struct ip_net *net, uint32_t number);
uint32_t radix_find(const struct radix *r, const struct ip *ip); /* RADIX_NONE: in none of them */

#endif

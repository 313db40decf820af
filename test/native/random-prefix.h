#ifndef CORDUROY_TEST_RANDOM_PREFIX_H
#define CORDUROY_TEST_RANDOM_PREFIX_H

#include <stdbool.h>

#include "address.h"

/* Of few distinct bits, so that prefixes hold each other. */
struct address random_address(uint8_t family);
struct prefix random_prefix(uint8_t family);
bool same_prefix(const struct prefix *one, const struct prefix *other);

/* Bit by bit, so that it is obviously right. */
bool slow_holds(const struct prefix *prefix, const struct address *address);

struct endpoint endpoint_of(struct address address, uint16_t port);

#endif

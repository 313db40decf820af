#ifndef CORDUROY_PREFIX_MAP_H
#define CORDUROY_PREFIX_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"

enum { PREFIX_LENGTHS = 129 };

struct prefix_slot {
    uint64_t high, low; /* of the prefix's address */
    uint32_t value;
    uint8_t length;
    bool used;
};

/* A map from prefixes of one family to numbers, with longest-prefix match: one hash table of all prefixes, and the list
 * of the lengths that occur. A look-up probes once for each of these, longest first: its cost does not grow with the
 * number of prefixes, and a network's subnets have one length or two.
 *
 * The members are the map's own; they are here because the look-up, which is made for each packet, is inline. */
struct prefix_map {
    struct prefix_slot *slot; /* open addressing, at most half of them used; NULL while the map is empty */
    size_t capacity;          /* a power of two */
    size_t count;
    unsigned shift; /* 64 less the binary logarithm of the capacity: a slot is the upper bits of a hash */
    uint8_t family;
    uint8_t length_count;
    uint8_t length[PREFIX_LENGTHS]; /* that occur, longest first */
};

/* Returns NULL when memory is short. */
struct prefix_map *prefix_map_new(uint8_t family);
void prefix_map_free(struct prefix_map *map); /* NULL is allowed */

/* Adds or replaces. The prefix is of the map's family. Returns 0, or -1 when memory is short. */
int prefix_map_set(struct prefix_map *map, const struct prefix *prefix, uint32_t value);

/* The network of the given length that holds the address: host bits are cleared. */
static inline struct address address_masked(struct address address, unsigned length)
{
    if (length <= 64) {
        address.low = 0;
        address.high &= length == 0 ? 0 : ~UINT64_C(0) << (64 - length);
    } else {
        address.low &= ~UINT64_C(0) << (128 - length);
    }
    return address;
}

/* Two rounds of multiply and fold: networks differ in few, neighbouring bits. */
static inline uint64_t prefix_hash(uint64_t high, uint64_t low, unsigned length)
{
    uint64_t hash = (high + length) ^ ((low ^ (low >> 29)) * UINT64_C(0x9e3779b97f4a7c15));

    hash = (hash ^ (hash >> 32)) * UINT64_C(0xd6e8feb86659fd93);
    return (hash ^ (hash >> 32)) * UINT64_C(0xd6e8feb86659fd93);
}

/* The slot that a prefix has, or would have; the map is not empty. */
static inline struct prefix_slot *prefix_map_slot(const struct prefix_map *map, struct address address, unsigned length)
{
    size_t index = (size_t)(prefix_hash(address.high, address.low, length) >> map->shift);

    for (;; index = (index + 1) & (map->capacity - 1)) {
        struct prefix_slot *slot = &map->slot[index];

        if (!slot->used ||
            (slot->high == address.high && slot->low == address.low && slot->length == length))
            return slot;
    }
}

/* The value of the longest prefix that holds the address, of the map's family. */
static inline bool prefix_map_lookup(const struct prefix_map *map, struct address address, uint32_t *value)
{
    unsigned index;

    for (index = 0; index < map->length_count; index++) {
        unsigned length = map->length[index];
        const struct prefix_slot *slot = prefix_map_slot(map, address_masked(address, length), length);

        if (slot->used) {
            *value = slot->value;
            return true;
        }
    }
    return false;
}

/* The value of exactly this prefix. */
bool prefix_map_get(const struct prefix_map *map, const struct prefix *prefix, uint32_t *value);

size_t prefix_map_count(const struct prefix_map *map);

#endif

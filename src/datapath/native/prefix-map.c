#include "prefix-map.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY_BITS = 4 };

struct prefix_map *prefix_map_new(uint8_t family)
{
    struct prefix_map *map = calloc(1, sizeof *map);

    if (map != NULL)
        map->family = family;
    return map;
}

void prefix_map_free(struct prefix_map *map)
{
    if (map == NULL)
        return;
    free(map->slot);
    free(map);
}

/* Makes room for one more. */
static int grow(struct prefix_map *map)
{
    struct prefix_map larger = *map;
    size_t index;

    if (map->slot != NULL && map->count + 1 <= map->capacity / 2)
        return 0;
    larger.capacity = map->slot == NULL ? (size_t)1 << FIRST_CAPACITY_BITS : map->capacity * 2;
    larger.shift = map->slot == NULL ? 64 - FIRST_CAPACITY_BITS : map->shift - 1;
    larger.slot = calloc(larger.capacity, sizeof *larger.slot);
    if (larger.slot == NULL)
        return -1;
    for (index = 0; index < map->capacity; index++) {
        const struct prefix_slot *slot = &map->slot[index];
        struct address address = {.high = slot->high, .low = slot->low, .family = map->family};

        if (slot->used)
            *prefix_map_slot(&larger, address, slot->length) = *slot;
    }
    free(map->slot);
    *map = larger;
    return 0;
}

static void add_length(struct prefix_map *map, uint8_t length)
{
    unsigned at = 0;

    while (at < map->length_count && map->length[at] > length)
        at++;
    if (at < map->length_count && map->length[at] == length)
        return;
    memmove(&map->length[at + 1], &map->length[at], map->length_count - at);
    map->length[at] = length;
    map->length_count++;
}

int prefix_map_set(struct prefix_map *map, const struct prefix *prefix, uint32_t value)
{
    struct prefix_slot *slot;

    if (grow(map) < 0)
        return -1;
    slot = prefix_map_slot(map, prefix->address, prefix->length);
    if (!slot->used) {
        map->count++;
        add_length(map, prefix->length);
    }
    *slot = (struct prefix_slot){
        .high = prefix->address.high,
        .low = prefix->address.low,
        .value = value,
        .length = prefix->length,
        .used = true,
    };
    return 0;
}

bool prefix_map_get(const struct prefix_map *map, const struct prefix *prefix, uint32_t *value)
{
    const struct prefix_slot *slot;

    if (map->count == 0)
        return false;
    slot = prefix_map_slot(map, prefix->address, prefix->length);
    if (!slot->used)
        return false;
    *value = slot->value;
    return true;
}

size_t prefix_map_count(const struct prefix_map *map)
{
    return map->count;
}

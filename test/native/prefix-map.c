#include "prefix-map.h"

#include "checks.h"
#include "random-prefix.h"

enum { PREFIXES = 300, ROUNDS = 20, LOOKUPS = 2000 };

/* Every prefix in a list; the one that was set last holds. */
struct slow_map {
    struct prefix prefix[PREFIXES];
    uint32_t value[PREFIXES];
    size_t count;
};

static void slow_set(struct slow_map *map, const struct prefix *prefix, uint32_t value)
{
    size_t index;

    for (index = 0; index < map->count && !same_prefix(&map->prefix[index], prefix); index++)
        ;
    map->prefix[index] = *prefix;
    map->value[index] = value;
    if (index == map->count)
        map->count++;
}

static bool slow_lookup(const struct slow_map *map, const struct address *address, uint32_t *value)
{
    int longest = -1;
    size_t index;

    for (index = 0; index < map->count; index++) {
        const struct prefix *prefix = &map->prefix[index];

        if (prefix->length > longest && slow_holds(prefix, address)) {
            longest = prefix->length;
            *value = map->value[index];
        }
    }
    return longest >= 0;
}

static void compare(const struct prefix_map *map, const struct slow_map *slow, uint8_t family)
{
    unsigned round;

    CHECK(prefix_map_count(map) == slow->count);
    for (round = 0; round < LOOKUPS; round++) {
        struct address address = random_address(family);
        struct prefix prefix = random_prefix(family);
        uint32_t value = 0, expected = 0;
        size_t index;

        CHECK(prefix_map_lookup(map, address, &value) == slow_lookup(slow, &address, &expected));
        CHECK(value == expected);
        for (index = 0; index < slow->count && !same_prefix(&slow->prefix[index], &prefix); index++)
            ;
        CHECK(prefix_map_get(map, &prefix, &value) == (index < slow->count));
        CHECK(index == slow->count || value == slow->value[index]);
    }
}

static void check_family(uint8_t family, size_t prefixes)
{
    struct prefix_map *map = prefix_map_new(family);
    struct slow_map slow = {.count = 0};
    size_t index;

    for (index = 0; index < prefixes; index++) {
        struct prefix prefix = random_prefix(family);
        uint32_t value = (uint32_t)random64();

        CHECK(prefix_map_set(map, &prefix, value) == 0);
        slow_set(&slow, &prefix, value);
    }
    compare(map, &slow, family);
    prefix_map_free(map);
}

void check_prefix_map(void)
{
    unsigned round;

    for (round = 0; round < ROUNDS; round++) {
        size_t prefixes = round == 0 ? 0 : random_below(PREFIXES) + 1;

        check_family(4, prefixes);
        check_family(6, prefixes);
    }
}

/* The prefix map against a list that is searched from one end to the other. */
#include "input.h"
#include "prefix-map.h"

enum { ENTRIES_MAX = 256 };

struct entry {
    struct prefix prefix;
    uint32_t value;
};

struct list {
    struct entry entry[ENTRIES_MAX];
    unsigned count;
};

static unsigned bit(struct address address, unsigned index)
{
    return (unsigned)(index < 64 ? address.high >> (63 - index) : address.low >> (127 - index)) & 1;
}

static bool holds(const struct prefix *prefix, struct address address)
{
    unsigned index;

    for (index = 0; index < prefix->length; index++)
        if (bit(prefix->address, index) != bit(address, index))
            return false;
    return true;
}

static struct entry *find(struct list *list, const struct prefix *prefix)
{
    unsigned index;

    for (index = 0; index < list->count; index++)
        if (list->entry[index].prefix.length == prefix->length && holds(prefix, list->entry[index].prefix.address))
            return &list->entry[index];
    return NULL;
}

static const struct entry *longest(const struct list *list, struct address address)
{
    const struct entry *best = NULL;
    unsigned index;

    for (index = 0; index < list->count; index++) {
        const struct entry *entry = &list->entry[index];

        if ((best == NULL || entry->prefix.length > best->prefix.length) && holds(&entry->prefix, address))
            best = entry;
    }
    return best;
}

/* Few bits of the input decide, so that prefixes nest and meet: a pattern, and one byte somewhere in it. */
static struct address take_address(struct input *input, uint8_t family)
{
    static const uint8_t PATTERNS[] = {0x00, 0xff, 0x0a, 0x55};
    uint8_t bytes[16], first = input_u8(input);

    memset(bytes, PATTERNS[first & 3], sizeof bytes);
    bytes[(first >> 2) & (family == 4 ? 3 : 15)] = input_u8(input);
    return family == 4 ? address_v4(bytes) : address_v6(bytes);
}

static struct prefix take_prefix(struct input *input, uint8_t family)
{
    uint8_t length = (uint8_t)(input_u8(input) % (family == 4 ? 33 : 129));
    struct address address = take_address(input, family);
    struct prefix prefix = {.address = {.family = family}, .length = length};
    unsigned index;

    for (index = 0; index < length; index++) {
        if (index < 64)
            prefix.address.high |= (uint64_t)bit(address, index) << (63 - index);
        else
            prefix.address.low |= (uint64_t)bit(address, index) << (127 - index);
    }
    return prefix;
}

static void set(struct input *input, struct prefix_map *map, struct list *list)
{
    struct prefix prefix = take_prefix(input, map->family);
    struct entry *entry = find(list, &prefix);
    uint32_t value = input_u8(input) | (uint32_t)list->count << 8;

    if (entry == NULL) {
        if (list->count == ENTRIES_MAX)
            return;
        entry = &list->entry[list->count++];
    }
    *entry = (struct entry){.prefix = prefix, .value = value};
    CHECK(prefix_map_set(map, &prefix, value) == 0);
    CHECK(prefix_map_count(map) == list->count);
}

static void look_up(struct input *input, const struct prefix_map *map, const struct list *list)
{
    struct address address = take_address(input, map->family);
    const struct entry *entry = longest(list, address);
    uint32_t value = 0;
    bool found = prefix_map_lookup(map, address, &value);

    CHECK(found == (entry != NULL));
    CHECK(entry == NULL || entry->value == value);
}

static void get(struct input *input, const struct prefix_map *map, struct list *list)
{
    struct prefix prefix = take_prefix(input, map->family);
    const struct entry *entry = find(list, &prefix);
    uint32_t value = 0;
    bool found = prefix_map_get(map, &prefix, &value);

    CHECK(found == (entry != NULL));
    CHECK(entry == NULL || entry->value == value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    static struct list list;
    struct prefix_map *map = prefix_map_new(input_u8(&input) & 1 ? 6 : 4);

    CHECK(map != NULL);
    list.count = 0;
    while (input.left > 0) {
        switch (input_u8(&input) & 3) {
        case 0:
            get(&input, map, &list);
            break;
        case 1:
            look_up(&input, map, &list);
            break;
        default:
            set(&input, map, &list);
        }
    }
    prefix_map_free(map);
    return 0;
}

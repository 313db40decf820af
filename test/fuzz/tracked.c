#include "tracked.h"

#include <stdlib.h>

#include "check.h"

enum { TRACKED_MAX = 128 };

static void *tracked[TRACKED_MAX];

static void **tracked_place(const void *memory)
{
    unsigned index;

    for (index = 0; index < TRACKED_MAX; index++)
        if (tracked[index] == memory)
            return &tracked[index];
    CHECK(!"a connection has memory of its own");
    return NULL;
}

void *tracked_realloc(void *memory, size_t size)
{
    void **place = tracked_place(memory);

    *place = realloc(memory, size);
    return *place;
}

void *tracked_malloc(size_t size)
{
    return tracked_realloc(NULL, size);
}

void tracked_free(void *memory)
{
    if (memory == NULL)
        return;
    *tracked_place(memory) = NULL;
    free(memory);
}

unsigned tracked_count(void)
{
    unsigned index, count = 0;

    for (index = 0; index < TRACKED_MAX; index++)
        count += tracked[index] != NULL;
    return count;
}

void tracked_free_all(void)
{
    unsigned index;

    for (index = 0; index < TRACKED_MAX; index++) {
        free(tracked[index]);
        tracked[index] = NULL;
    }
}

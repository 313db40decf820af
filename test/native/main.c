/* Unit tests of the control side of the native data plane. test/unit/datapath/native.test.ts compiles and runs them. */
#include <stdio.h>
#include <stdlib.h>

#include "checks.h"

static unsigned long checks;
static uint64_t state = UINT64_C(0x2545f4914f6cdd1d);

void check(bool holds, const char *text, const char *file, int line)
{
    if (!holds) {
        fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, text);
        exit(1);
    }
    checks++;
}

uint64_t random64(void)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * UINT64_C(0x2545f4914f6cdd1d);
}

uint32_t random_below(uint32_t bound)
{
    return (uint32_t)((random64() >> 32) % bound);
}

int main(void)
{
    check_prefix_map();
    check_table();
    check_bytes();
    check_messages();
    check_requests();
    check_connection();
    check_accounts();
    printf("%lu checks\n", checks);
    return 0;
}

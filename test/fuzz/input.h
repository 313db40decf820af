#ifndef CORDUROY_FUZZ_INPUT_H
#define CORDUROY_FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

/* The fuzzer's bytes, as a sequence of decisions. Once they are used up, all that follow are zero. */
struct input {
    const uint8_t *bytes;
    size_t left;
};

static inline uint8_t input_u8(struct input *input)
{
    if (input->left == 0)
        return 0;
    input->left--;
    return *input->bytes++;
}

static inline uint16_t input_u16(struct input *input)
{
    uint16_t high = input_u8(input);

    return (uint16_t)(high << 8 | input_u8(input));
}

static inline uint32_t input_u32(struct input *input)
{
    uint32_t high = input_u16(input);

    return high << 16 | input_u16(input);
}

static inline void input_fill(struct input *input, uint8_t *bytes, size_t length)
{
    size_t count = length < input->left ? length : input->left;

    if (count > 0)
        memcpy(bytes, input->bytes, count);
    memset(bytes + count, 0, length - count);
    input->bytes += count;
    input->left -= count;
}

/* Memory of exactly this length, so that AddressSanitizer sees the first byte beyond it. */
static inline uint8_t *exact(const void *bytes, size_t length)
{
    uint8_t *copy = malloc(length);

    CHECK(copy != NULL || length == 0);
    if (length > 0)
        memcpy(copy, bytes, length);
    return copy;
}

#endif

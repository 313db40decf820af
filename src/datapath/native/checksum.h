#ifndef CORDUROY_CHECKSUM_H
#define CORDUROY_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The Internet checksum (RFC 1071). Sums are of 16-bit words as they lie in memory, which RFC 1071 2(B) allows: a folded
 * sum is stored with memcpy, never swapped. */

/* Adds the words of `bytes`; an odd last byte is padded with zero. `bytes` starts at an even offset of what is summed. */
uint64_t checksum_add(uint64_t sum, const uint8_t *bytes, size_t length);

static inline uint16_t checksum_fold(uint64_t sum)
{
    sum = (sum >> 32) + (sum & 0xffffffff);
    sum = (sum >> 32) + (sum & 0xffffffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    return (uint16_t)sum;
}

static inline uint16_t read_word(const uint8_t *bytes)
{
    uint16_t word;

    memcpy(&word, bytes, sizeof word);
    return word;
}

static inline void write_word(uint8_t *bytes, uint16_t word)
{
    memcpy(bytes, &word, sizeof word);
}

/* Network byte order. */
static inline uint16_t read16(const uint8_t *bytes)
{
    return __builtin_bswap16(read_word(bytes));
}

static inline void write16(uint8_t *bytes, uint16_t value)
{
    write_word(bytes, __builtin_bswap16(value));
}

static inline uint32_t read32(const uint8_t *bytes)
{
    uint32_t value;

    memcpy(&value, bytes, sizeof value);
    return __builtin_bswap32(value);
}

static inline void write32(uint8_t *bytes, uint32_t value)
{
    value = __builtin_bswap32(value);
    memcpy(bytes, &value, sizeof value);
}

#endif

#include "checksum.h"

/* 32-bit words into 64-bit sums: nothing overflows below 16 GiB, and compilers make vectors of it. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
__attribute__((target_clones("avx2", "default"), optimize("O3")))
#endif
uint64_t checksum_add(uint64_t sum, const uint8_t *bytes, size_t length)
{
    size_t words = length / 4, index;

    for (index = 0; index < words; index++) {
        uint32_t word;

        memcpy(&word, bytes + 4 * index, sizeof word);
        sum += word;
    }
    bytes += 4 * words;
    if ((length & 2) != 0) {
        sum += read_word(bytes);
        bytes += 2;
    }
    if ((length & 1) != 0) {
        const uint8_t padded[2] = {*bytes, 0};

        sum += read_word(padded);
    }
    return sum;
}

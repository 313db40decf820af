#ifndef CORDUROY_FUZZ_ENCODE_H
#define CORDUROY_FUZZ_ENCODE_H

#include <stddef.h>
#include <stdint.h>

/* Writes the elements of the control protocol, byte by byte as docs/control-protocol.md has them. */
struct encoder {
    uint8_t bytes[8192];
    size_t length;
};

void encode_number(struct encoder *encoder, uint64_t value, unsigned size);
void encode_bytes(struct encoder *encoder, const void *bytes, size_t length);

/* Of one of a few addresses of a family, 4 or 6: few, so that they meet. */
void encode_address(struct encoder *encoder, unsigned family, uint8_t choice);
void encode_prefix(struct encoder *encoder, unsigned family, uint8_t length, uint8_t choice);
void encode_endpoint(struct encoder *encoder, unsigned family, uint16_t port, uint8_t choice);

#endif

#ifndef CORDUROY_BYTES_H
#define CORDUROY_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"

/*
 * The elements of the control protocol. Numbers are unsigned and big-endian.
 *
 *     string    | length u16 | UTF-8 …                          |
 *     address   | family u8  | 4 or 16 bytes                    |      family: 4 or 6
 *     prefix    | family u8  | length u8  | 4 or 16 bytes       |      no host bits set
 *     endpoint  | family u8  | port u16   | 4 or 16 bytes       |      port: 1 … 65535
 */

enum { READER_TEXT = 160 };

/* Takes a message apart. Nothing is read before its length has been checked. What is wrong first is in `error`; from
 * there on every read gives zeros, so that a caller may look once, at the end. */
struct byte_reader {
    const uint8_t *bytes;
    size_t length, offset;
    bool failed;
    /* Failed, and not by a fault of the message. */
    bool short_of_memory;
    char error[READER_TEXT];
};

void reader_init(struct byte_reader *reader, const uint8_t *bytes, size_t length);

/* Unless something was wrong before. The text holds nothing of the message but numbers, for it goes into the log. */
void reader_fail(struct byte_reader *reader, const char *format, ...) __attribute__((format(printf, 2, 3)));

uint8_t reader_u8(struct byte_reader *reader);
uint16_t reader_u16(struct byte_reader *reader);
uint32_t reader_u32(struct byte_reader *reader);
uint64_t reader_u64(struct byte_reader *reader);
struct address reader_address(struct byte_reader *reader);
struct prefix reader_prefix(struct byte_reader *reader);
struct endpoint reader_endpoint(struct byte_reader *reader);

/* A string of valid UTF-8: where it begins, and its length. There is no final zero byte. */
const uint8_t *reader_string(struct byte_reader *reader, size_t *length);

/* The count of a list whose elements have `element_min` bytes or more. A count that lies is found out here, so that
 * memory can be had for it. 0 when it does. */
size_t reader_count(struct byte_reader *reader, size_t element_min);

/* Demands that nothing is left over. Returns whether all that was read was in order. */
bool reader_end(struct byte_reader *reader);

/* Builds a message, in memory that grows. */
struct byte_writer {
    uint8_t *bytes; /* the caller's to free */
    size_t length, capacity;
    bool failed; /* memory is short; nothing more is written */
};

void writer_u8(struct byte_writer *writer, unsigned value);
void writer_u16(struct byte_writer *writer, unsigned value);
void writer_u32(struct byte_writer *writer, uint32_t value);
void writer_u64(struct byte_writer *writer, uint64_t value);
/* Cut at 65 535 bytes. */
void writer_string(struct byte_writer *writer, const char *text);
void writer_address(struct byte_writer *writer, const struct address *address);
void writer_endpoint(struct byte_writer *writer, const struct endpoint *endpoint);

#endif

#ifndef CORDUROY_TEST_CHECKS_H
#define CORDUROY_TEST_CHECKS_H

#include <stdbool.h>
#include <stdint.h>

/* Ends the program when a check fails, naming it; counts it otherwise. */
#define CHECK(condition) check((condition), #condition, __FILE__, __LINE__)
void check(bool holds, const char *text, const char *file, int line);

/* A generator that gives the same numbers in each run (xorshift64*), so that a failure comes again. */
uint64_t random64(void);
uint32_t random_below(uint32_t bound);

void check_prefix_map(void);
void check_table(void);
void check_bytes(void);
void check_messages(void);
void check_requests(void);
void check_connection(void);
void check_accounts(void);

#endif

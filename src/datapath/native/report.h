#ifndef CORDUROY_REPORT_H
#define CORDUROY_REPORT_H

/* Exit codes of the program. */
enum {
    EXIT_FAULT = 1,
    EXIT_USAGE = 2,
    /* As env(1) has it: the command could not be executed. */
    EXIT_NO_COMMAND = 127,
};

/* Writes "corduroy-datapath: " and one line to standard error. The text says what failed, on which object, and what
 * to do about it. */
void report(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif

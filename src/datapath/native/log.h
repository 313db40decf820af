#ifndef CORDUROY_LOG_H
#define CORDUROY_LOG_H

/* Writes one line to standard error, which the launcher has directed to a file: time, "corduroy-datapath[pid]: ", and
 * the text; a final newline is added. One write(2), so that threads do not mix their lines; a line that cannot be
 * written is let go. The log tells of changes of state; what happens to packets is told by counters. */
void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif

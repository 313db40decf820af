#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 2048, SECONDS_A_DAY = 86400 };

struct date {
    long year;
    int month, day;
};

/* Days since 1970-01-01 as a date of the Gregorian calendar; years that begin in March put the leap day last, and a
 * whole calendar cycle has 146 097 days. Not gmtime(3): that reads the time zone's file, which the system call filter
 * forbids. */
static struct date date_of(long days)
{
    long since = days + 719468; /* 0000-03-01 */
    long cycle = since / 146097, in_cycle = since % 146097;
    long year = (in_cycle - in_cycle / 1460 + in_cycle / 36524 - in_cycle / 146096) / 365;
    long in_year = in_cycle - (365 * year + year / 4 - year / 100);
    long month = (5 * in_year + 2) / 153; /* 0: March */

    return (struct date){
        .year = year + cycle * 400 + (month >= 10),
        .month = (int)(month < 10 ? month + 3 : month - 9),
        .day = (int)(in_year - (153 * month + 2) / 5 + 1),
    };
}

static int write_head(char *line, size_t size)
{
    struct timespec now;
    struct date date;
    int second;

    clock_gettime(CLOCK_REALTIME, &now);
    date = date_of(now.tv_sec / SECONDS_A_DAY);
    second = (int)(now.tv_sec % SECONDS_A_DAY);
    return snprintf(line, size, "%04ld-%02d-%02dT%02d:%02d:%02d.%03dZ corduroy-datapath[%d]: ", date.year, date.month,
                    date.day, second / 3600, second / 60 % 60, second % 60, (int)(now.tv_nsec / 1000000), getpid());
}

void log_line(const char *format, ...)
{
    char line[LINE_MAX_BYTES];
    size_t length = (size_t)write_head(line, sizeof line);
    va_list arguments;
    int text;

    va_start(arguments, format);
    text = vsnprintf(line + length, sizeof line - length, format, arguments);
    va_end(arguments);
    if (text > 0)
        length += (size_t)text;
    if (length > sizeof line - 1)
        length = sizeof line - 1; /* cut: the final newline must fit */
    line[length++] = '\n';
    if (write(STDERR_FILENO, line, length) < 0)
        return; /* a full disk or a closed pipe takes the log, and must not take the packets */
}

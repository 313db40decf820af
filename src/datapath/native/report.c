#include "report.h"

#include <stdarg.h>
#include <stdio.h>

void report(const char *format, ...)
{
    va_list arguments;

    fputs("corduroy-datapath: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

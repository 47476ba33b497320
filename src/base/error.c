#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>

static _Thread_local char text[512];

int error_set(int code, const char *fmt, ...)
{
    char buf[sizeof text]; /* fmt's arguments may be error_text() itself */
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(buf, sizeof buf, fmt, ap);
    va_end(ap);
    __builtin_memcpy(text, buf, sizeof text);
    return code;
}

const char *error_text(void) { return text; }

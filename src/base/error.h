/* Errors inside hevcast: a negative code and one sentence, kept for each thread.
 *
 *     return error_set(ERR_NOT_FOUND, "there is no monitor \"%s\"; `hevcast list` names them", s);
 *
 * The sentence says what is wrong and what to do; it is shown to the user as it is, so it holds
 * no secret. The codes are those of hevcast.h. */
#ifndef HEVCAST_BASE_ERROR_H
#define HEVCAST_BASE_ERROR_H

#include <stddef.h>

enum {
    ERR_INVALID = -1,     /* a wrong argument or option */
    ERR_NOT_FOUND = -2,   /* no such display, monitor, window, file, session */
    ERR_UNSUPPORTED = -3, /* not possible with this peer, file, machine */
    ERR_IO = -4,          /* the system or the network said no */
    ERR_MEMORY = -5,
    ERR_PROTOCOL = -6,    /* a peer sent something unusable */
    ERR_REFUSED = -7,     /* a peer said no */
    ERR_ENDED = -8,       /* it is over: end of file, closed, stopped */
    ERR_TIMEOUT = -9,
};

/* Stores the sentence for this thread; returns code. */
int error_set(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The last sentence of this thread; "" when there was none. Valid until the next error_set. */
const char *error_text(void);

#endif

/* wake: an eventfd that ends a wait from another thread. The sources' `interrupt`. */
#ifndef HEVCAST_SOURCE_WAKE_H
#define HEVCAST_SOURCE_WAKE_H

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* -1 when the system has none left. Close it with close(). */
static inline int wake_new(void) { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }

/* Any thread. */
static inline void wake_signal(int wake)
{
    uint64_t one = 1;
    ssize_t n;
    do
        n = write(wake, &one, sizeof one);
    while (n < 0 && errno == EINTR);
}

/* Takes back earlier signals; true when there was one. */
static inline bool wake_clear(int wake)
{
    uint64_t n;
    return read(wake, &n, sizeof n) == (ssize_t)sizeof n;
}

enum { WAKE_TIMEOUT, WAKE_READY, WAKE_SIGNALLED };
/* Waits for bytes (or the end) on fd, unless fd < 0, at most timeout_us (< 0: for ever). A signal
 * stays pending until wake_clear. */
static inline int wake_wait(int wake, int fd, int64_t timeout_us)
{
    struct pollfd p[2] = {{.fd = wake, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    struct timespec ts = {.tv_sec = timeout_us / 1000000, .tv_nsec = timeout_us % 1000000 * 1000};
    int n = ppoll(p, fd < 0 ? 1 : 2, timeout_us < 0 ? NULL : &ts, NULL);
    if (n < 0)
        return WAKE_TIMEOUT; /* EINTR: callers look at their clock and wait again */
    if (p[0].revents)
        return WAKE_SIGNALLED;
    return n > 0 && p[1].revents ? WAKE_READY : WAKE_TIMEOUT;
}

#endif

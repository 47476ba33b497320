/* X servers for tests: started on a free display, stopped with the test. */
#ifndef HEVCAST_TESTS_XSERVER_H
#define HEVCAST_TESTS_XSERVER_H

#include <stdbool.h>
#include <sys/types.h>

struct xserver {
    pid_t pid;
    char display[16]; /* ":3" */
};

/* Is the program there? If not, the test says so and exits with 77 (skipped). */
void xserver_need(const char *program);
/* program: "Xvfb" (one size for ever) or "Xvnc" (can change its size). extra: more arguments,
 * ended by NULL, or NULL. false: it did not start; what it said is on standard error. */
bool xserver_start(struct xserver *s, const char *program, int width, int height,
                   const char *const *extra);
/* Kills it and waits for its end. May be called twice. */
void xserver_stop(struct xserver *s);

#endif

/* thread: how every thread of the library starts. */
#ifndef HEVCAST_BASE_THREAD_H
#define HEVCAST_BASE_THREAD_H

#include <pthread.h>

/* Starts run(arg) on a thread of this name (at most 15 bytes: the kernel's limit), which takes no
 * signal: those stay with the program's own threads. 0, or ERR_MEMORY with *out undefined; the
 * caller joins. Any thread. */
int thread_start(pthread_t *out, const char *name, void *(*run)(void *), void *arg);

#endif

/* One thread: libde265's locks do nothing, and it starts no worker threads. */
#ifndef HEVCAST_SHIM_PTHREAD_H
#define HEVCAST_SHIM_PTHREAD_H

#include <sys/types.h> /* the types are there, the functions are not */

static inline int pthread_create(pthread_t *t, const void *a, void *(*f)(void *), void *x)
{
    (void)t, (void)a, (void)f, (void)x;
    return 1; /* refused */
}
static inline int pthread_join(pthread_t t, void **r) { (void)t, (void)r; return 0; }
static inline int pthread_mutex_init(pthread_mutex_t *m, const void *a) { (void)m, (void)a; return 0; }
static inline int pthread_mutex_destroy(pthread_mutex_t *m) { (void)m; return 0; }
static inline int pthread_mutex_lock(pthread_mutex_t *m) { (void)m; return 0; }
static inline int pthread_mutex_unlock(pthread_mutex_t *m) { (void)m; return 0; }
static inline int pthread_cond_init(pthread_cond_t *c, const void *a) { (void)c, (void)a; return 0; }
static inline int pthread_cond_destroy(pthread_cond_t *c) { (void)c; return 0; }
static inline int pthread_cond_broadcast(pthread_cond_t *c) { (void)c; return 0; }
static inline int pthread_cond_signal(pthread_cond_t *c) { (void)c; return 0; }
static inline int pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m)
{
    (void)c, (void)m;
    __builtin_trap(); /* nobody could ever wake it */
}

#endif

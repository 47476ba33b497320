/* pool: threads that share the parts of one job with the thread that has it. They sleep between
 * jobs. */
#ifndef HEVCAST_BASE_POOL_H
#define HEVCAST_BASE_POOL_H

struct pool;

/* threads: in all, the caller of pool_run included; 1 is allowed. They are named NAME-1, NAME-2 and so on
 * (NAME at most 12 bytes). NULL: not to be had, error_set. Any thread. */
struct pool *pool_new(int threads, const char *name);
/* Joins the threads, *p becomes NULL. Not while a job runs. */
void pool_free(struct pool **p);
int pool_threads(const struct pool *p);
/* Calls part(arg, i) once for each i below count, in the order of i as far as they are begun, on
 * up to `threads` threads, one of them the caller. Part i may wait for what parts below i do. Returns
 * when all have returned. One job at a time. */
void pool_run(struct pool *p, int threads, int count, void (*part)(void *arg, int i), void *arg);

#endif

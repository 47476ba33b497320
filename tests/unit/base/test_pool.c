/* The pool: each part is run once, parts may wait for earlier ones, on any number of threads. */
#include "base/pool.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include <setjmp.h>
#include <cmocka.h>

enum { PARTS = 40, JOBS = 300 };

struct job {
    atomic_int times[PARTS], finished;
    pthread_mutex_t lock;
    pthread_cond_t more;
};

/* Waits for the part before, as a row of a picture does for the one above. */
static void part(void *arg, int i)
{
    struct job *j = arg;
    pthread_mutex_lock(&j->lock);
    while (atomic_load(&j->finished) < i)
        pthread_cond_wait(&j->more, &j->lock);
    atomic_fetch_add(&j->times[i], 1);
    atomic_fetch_add(&j->finished, 1);
    pthread_cond_broadcast(&j->more);
    pthread_mutex_unlock(&j->lock);
}

static void test_each_once(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 4; threads++) {
        struct pool *p = pool_new(threads, "pool-test-it");
        assert_non_null(p);
        assert_int_equal(pool_threads(p), threads);
        for (int n = 0; n < JOBS; n++) {
            struct job j = {.lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER};
            int parts = n % (PARTS + 1);
            pool_run(p, 1 + n % 5, parts, part, &j);
            assert_int_equal(atomic_load(&j.finished), parts);
            for (int i = 0; i < PARTS; i++)
                assert_int_equal(atomic_load(&j.times[i]), i < parts);
        }
        pool_free(&p);
        assert_null(p);
        pool_free(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

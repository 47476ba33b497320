#include "base/thread.h"

#include "base/error.h"

#include <signal.h>
#include <string.h>

int thread_start(pthread_t *out, const char *name, void *(*run)(void *), void *arg)
{
    /* The mask is inherited, so it is set around the creation: a signal that came before the new
     * thread's first line would find it open. */
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int err = pthread_create(out, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (err)
        return error_set(ERR_MEMORY, "a thread could not be started: %s", strerror(err));
    pthread_setname_np(*out, name);
    return 0;
}

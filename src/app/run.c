/* Runs a sender or a receiver until it ends; statistics as JSON lines. */
#include "app.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void *volatile signal_object; /* what the handler stops; NULL: nothing is open yet */
static void (*signal_stop)(void *object);
static volatile sig_atomic_t signals_seen;

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* A second signal ends at once; but a wrapper such as timeout(1) and the terminal may both pass
 * on one Ctrl-C, so what follows within a moment is the same one. */
static void on_signal(int sig)
{
    static int64_t first_us;
    if (signals_seen++) {
        if (now_us() - first_us > 300000)
            _exit(128 + sig);
        return;
    }
    first_us = now_us();
    if (!signal_object) /* still opening: there is nobody to say goodbye to, and no file */
        _exit(EXIT_OK);
    signal_stop(signal_object);
}

static void catch_signals(void)
{
    struct sigaction a = {.sa_handler = on_signal};
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
    sigaction(SIGHUP, &a, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* The object is about to be freed: from now on a signal just ends the program. */
static void release_signals(void)
{
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
}

bool run_begin(struct run *run, const struct common_options *o)
{
    run->o = o;
    hevcast_set_log_level(o->quiet ? 0 : 1 + o->verbose);
    status_begin(o->quiet);
    run->stats = NULL;
    catch_signals();
    if (!o->stats_path)
        return true;
    run->stats = strcmp(o->stats_path, "-") ? fopen(o->stats_path, "we") : stdout;
    if (!run->stats)
        fprintf(stderr, "hevcast: cannot write the statistics to %s: %s\n", o->stats_path,
                strerror(errno));
    return run->stats != NULL;
}

void run_end(struct run *run)
{
    run_write_json(run, run->ended); /* after the last numbers */
    run->ended = NULL;
    if (run->stats && run->stats != stdout)
        fclose(run->stats);
    run->stats = NULL;
}

void run_write_json(struct run *run, void *object)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* whole lines */
    char *text = run->stats && object ? cJSON_PrintUnformatted(object) : NULL;
    cJSON_Delete(object);
    if (!text)
        return;
    pthread_mutex_lock(&lock);
    fprintf(run->stats, "%s\n", text);
    fflush(run->stats);
    pthread_mutex_unlock(&lock);
    cJSON_free(text);
}

void *run_json_event(const char *name, int64_t t_us)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "event", name);
    cJSON_AddNumberToObject(o, "t_us", (double)t_us);
    return o;
}

void json_add_numbers(void *object, const struct json_number *numbers, size_t n)
{
    for (size_t i = 0; i < n; i++)
        cJSON_AddNumberToObject(object, numbers[i].name, (double)numbers[i].value);
}

void json_add_stages(void *object, const hevcast_stage_stats *stages, int n)
{
    char key[48];
    for (int i = 0; i < n; i++) {
        snprintf(key, sizeof key, "%s_p50_us", stages[i].name);
        cJSON_AddNumberToObject(object, key, (double)stages[i].p50_us);
        snprintf(key, sizeof key, "%s_p95_us", stages[i].name);
        cJSON_AddNumberToObject(object, key, (double)stages[i].p95_us);
    }
}

void json_add_queues(void *object, const hevcast_queue_stats *queues, int n)
{
    cJSON *list = cJSON_AddArrayToObject(object, "queues");
    for (int i = 0; i < n; i++) {
        cJSON *q = cJSON_CreateObject();
        cJSON_AddStringToObject(q, "name", queues[i].name);
        cJSON_AddNumberToObject(q, "length", (double)queues[i].length);
        cJSON_AddNumberToObject(q, "capacity", (double)queues[i].capacity);
        cJSON_AddNumberToObject(q, "drops", (double)queues[i].drops);
        cJSON_AddItemToArray(list, q);
    }
}

int run_until_end(struct run *run)
{
    signal_stop = run->stop;
    signal_object = run->object;
    int64_t start = now_us(), next = start + 1000000, end = INT64_MAX;
    if (run->o->duration_s > 0)
        end = start + (int64_t)(run->o->duration_s * 1e6);
    int r = 1;
    while (r == 1) {
        int64_t now = now_us(), until = next < end ? next : end;
        r = run->wait(run->object, until > now ? until - now : 0);
        now = now_us();
        if (r == 1 && now >= end) {
            run->stop(run->object);
            end = INT64_MAX;
        }
        if (r != 1 || now >= next) {
            run->tick(run->object, run);
            next += 1000000;
            next = next < now ? now + 1000000 : next;
        }
    }
    status_end();
    release_signals();
    if (r < 0)
        fprintf(stderr, "hevcast: %s\n", hevcast_error_text());
    return r < 0 ? EXIT_FAILED : EXIT_OK;
}

#include "base/log.h"

#include "base/clock.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_MODULES = 32 };

static atomic_int default_level = LOG_LEVEL_WARN;
static struct {
    char name[24];
    int level;
} modules[MAX_MODULES]; /* written once, by parse_env */
static int module_count;
static int env_default = -1;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t write_lock = PTHREAD_MUTEX_INITIALIZER; /* guards the hooks and stderr */
static void (*hook_before)(void), (*hook_after)(void);

static const char *const level_names[] = {"error", "warn", "info", "debug"};

static int level_of(const char *s, size_t n)
{
    for (int i = 0; i < 4; i++)
        if (strlen(level_names[i]) == n && !strncmp(s, level_names[i], n))
            return i;
    return -1;
}

static void parse_env(void)
{
    const char *p = getenv("HEVCAST_LOG");
    while (p && *p) {
        size_t n = strcspn(p, ",");
        const char *colon = memchr(p, ':', n);
        if (!colon) {
            int level = level_of(p, n);
            if (level >= 0)
                env_default = level;
        } else if (module_count < MAX_MODULES && (size_t)(colon - p) < sizeof modules[0].name) {
            int level = level_of(colon + 1, n - (size_t)(colon - p) - 1);
            if (level >= 0) {
                memcpy(modules[module_count].name, p, (size_t)(colon - p));
                modules[module_count++].level = level;
            }
        }
        p += n;
        p += *p == ',';
    }
}

void log_set_level(enum log_level level) { atomic_store(&default_level, (int)level); }

bool log_enabled(const char *module, enum log_level level)
{
    pthread_once(&once, parse_env);
    for (int i = 0; i < module_count; i++)
        if (!strcmp(modules[i].name, module))
            return (int)level <= modules[i].level;
    int threshold = atomic_load_explicit(&default_level, memory_order_relaxed);
    if (env_default >= 0)
        threshold = env_default;
    return (int)level <= threshold;
}

void log_set_hooks(void (*before)(void), void (*after)(void))
{
    pthread_mutex_lock(&write_lock);
    hook_before = before;
    hook_after = after;
    pthread_mutex_unlock(&write_lock);
}

void log_write(const char *module, enum log_level level, const char *fmt, ...)
{
    char line[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    pthread_mutex_lock(&write_lock);
    if (hook_before)
        hook_before();
    fprintf(stderr, "hevcast: %s: %s: %s\n", level_names[level], module, line);
    if (hook_after)
        hook_after();
    pthread_mutex_unlock(&write_lock);
}

bool log_rate_pass(struct log_rate *r, int *suppressed)
{
    int64_t now = clock_now_us();
    int64_t next = atomic_load(&r->next_us);
    if (now < next || !atomic_compare_exchange_strong(&r->next_us, &next, now + 1000000)) {
        atomic_fetch_add(&r->suppressed, 1);
        return false;
    }
    *suppressed = atomic_exchange(&r->suppressed, 0);
    return true;
}

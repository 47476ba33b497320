/* Logging to standard error. Thread-safe. Never log a token, a password or a key.
 *
 * HEVCAST_LOG=module:level,… or level sets what is shown (error, warn, info, debug); log_set_level
 * sets the default of modules that it does not name. In packet paths use LOG_RATE: at most one
 * line a second for each place, with the number that was left out. */
#ifndef HEVCAST_BASE_LOG_H
#define HEVCAST_BASE_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void log_set_level(enum log_level level);
bool log_enabled(const char *module, enum log_level level);
void log_write(const char *module, enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Called before and after a line is written to a terminal, so that a status line can be
 * cleared and drawn again. NULL: none. */
void log_set_hooks(void (*before)(void), void (*after)(void));

#define LOG_AT(module, level, ...)                                                                 \
    do {                                                                                           \
        if (log_enabled(#module, level))                                                           \
            log_write(#module, level, __VA_ARGS__);                                                \
    } while (0)
#define LOG_ERROR(module, ...) LOG_AT(module, LOG_LEVEL_ERROR, __VA_ARGS__)
#define LOG_WARN(module, ...)  LOG_AT(module, LOG_LEVEL_WARN, __VA_ARGS__)
#define LOG_INFO(module, ...)  LOG_AT(module, LOG_LEVEL_INFO, __VA_ARGS__)
#define LOG_DEBUG(module, ...) LOG_AT(module, LOG_LEVEL_DEBUG, __VA_ARGS__)

struct log_rate {
    _Atomic int64_t next_us;
    atomic_int suppressed;
};
bool log_rate_pass(struct log_rate *r, int *suppressed);
#define LOG_RATE(module, level, ...)                                                               \
    do {                                                                                           \
        static struct log_rate rate_;                                                              \
        int left_out_;                                                                             \
        if (log_enabled(#module, level) && log_rate_pass(&rate_, &left_out_)) {                    \
            log_write(#module, level, __VA_ARGS__);                                                \
            if (left_out_)                                                                         \
                log_write(#module, level, "(%d like the last line were left out)", left_out_);     \
        }                                                                                          \
    } while (0)

#endif

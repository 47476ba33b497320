/* app: what the files of the program share. It uses the public API alone. */
#ifndef HEVCAST_APP_APP_H
#define HEVCAST_APP_APP_H

#include <hevcast/hevcast.h>

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, MAX_ICE_SERVERS = 8 };

/* Options that every verb has. */
struct common_options {
    bool quiet;
    int verbose;
    const char *stats_path; /* NULL: none */
    double duration_s;      /* 0: never */
    const char *ice_servers[MAX_ICE_SERVERS];
    int ice_server_count;
};

int cmd_share(int argc, char **argv);
int cmd_view(int argc, char **argv);
int cmd_list(int argc, char **argv);

/* options.c. Each parser prints one sentence to standard error and returns false. */
bool parse_int(const char *option, const char *text, long min, long max, int *out);
bool parse_rate(const char *option, const char *text, int64_t *out_bps); /* 20M, 500k, 1.5M, 900 */
bool parse_seconds(const char *option, const char *text, double *out);
bool parse_port_range(const char *text, int *min, int *max);
/* One of names (NULL-terminated), by its index. */
bool parse_choice(const char *option, const char *text, const char *const *names, int *out);
enum { COMMON_OPTION_BASE = 1000 };
#define COMMON_SHORT_OPTIONS "hqv"
#define COMMON_LONG_OPTIONS                                                                        \
    {"help", no_argument, NULL, 'h'}, {"quiet", no_argument, NULL, 'q'},                           \
        {"verbose", no_argument, NULL, 'v'}, {"stats", required_argument, NULL, 1000},             \
        {"duration", required_argument, NULL, 1001}, {"ice-server", required_argument, NULL, 1002}
/* Takes the option c if it is a common one. 1: taken, 0: not one of them, -1: wrong usage. */
int common_option(struct common_options *o, int c, const char *arg);
void usage_error(const char *verb, const char *sentence);
struct verb {
    const char *name, *help;
    const struct option *options;
    bool (*take)(void *ctx, int c, const char *arg); /* false: it has said what is wrong */
};
/* All options to verb->take; optind is then at the first operand. false: the verb ends now, with
 * *status (its help was asked for and shown, or wrong usage). */
bool parse_options(const struct verb *verb, int argc, char **argv, void *ctx, int *status);

/* run.c: signals and the loop that waits, prints and counts. */
struct run {
    const struct common_options *o;
    FILE *stats; /* NULL: none */
    void *object;
    void (*stop)(void *object);                      /* async-signal-safe */
    int (*wait)(void *object, int64_t timeout_us);
    void (*tick)(void *object, struct run *run);     /* once a second, and at the end */
    void *ended; /* the last line of the statistics, a cJSON *; under the object's own callback */
};
/* Signals, the log's level, the status line, --stats. false: it has said what is wrong. */
bool run_begin(struct run *run, const struct common_options *o);
/* Until it ends, Ctrl-C, or --duration. The exit status. */
int run_until_end(struct run *run);
void run_end(struct run *run);
/* One line of JSON; takes object (a cJSON *). Any thread. NULL run->stats: only frees. */
void run_write_json(struct run *run, void *object);
/* The base of every event line: {"event":name,"t_us":…}. A cJSON *. */
void *run_json_event(const char *name, int64_t t_us);
struct json_number {
    const char *name;
    int64_t value;
};
void json_add_numbers(void *object, const struct json_number *numbers, size_t n);
void json_add_stages(void *object, const hevcast_stage_stats *stages, int n);
void json_add_queues(void *object, const hevcast_queue_stats *queues, int n);

/* status.c: the one line on a terminal. Thread-safe. */
void status_begin(bool quiet); /* nothing is drawn without a terminal on standard error */
void status_set(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void status_note(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* a line above it */
void status_end(void);
void print_qr(const char *text); /* on standard error */

#endif

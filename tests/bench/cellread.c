/* Reads raw I420 pictures from standard input and reads the clock (cells.h) in each.
 *
 *   ... | cellread WIDTHxHEIGHT [--skip SECONDS] [--log FILE]
 *
 * The time of a picture is taken when its first 16 rows, which hold the cells, have arrived;
 * the rest of it is thrown away afterwards (spliced, so that the reader costs next to nothing).
 * That is as close to the decoder as a pipe allows, and the same for every system measured.
 *
 * A picture that repeats a clock seen before counts as a picture, but not as a latency: only the
 * first appearance of a value does. At the end of the stream it prints one JSON object:
 *   pictures, unreadable, updates (new clock values), fps (pictures a second), updates_per_s,
 *   p50_ms, p95_ms, min_ms, max_ms; null where there was nothing.
 * --skip leaves out what comes in the first seconds after the first picture. --log writes a line
 * a picture: its time in us, and its latency in us, or "repeat" or "bad". */
#include "cells.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct reader {
    int width, height;
    int64_t skip_us;
    FILE *log;
    uint8_t *rows; /* the first CELL_PX rows of luma */
    int null_fd;
    bool can_splice;

    int64_t first_us, last_us; /* of the pictures counted */
    long pictures, unreadable;
    int64_t started_us;
    bool have_ticks;
    uint32_t ticks;
    int64_t *latency_us;
    size_t n, cap;
};

/* 1: all read, 0: end of the stream, -1: error. */
static int read_all(uint8_t *p, size_t len)
{
    while (len > 0) {
        ssize_t n = read(0, p, len);
        if (n == 0)
            return 0;
        if (n < 0) {
            if (errno == EINTR)
                continue;
            perror("cellread: read");
            return -1;
        }
        p += n;
        len -= (size_t)n;
    }
    return 1;
}

static int discard(struct reader *r, size_t len)
{
    static uint8_t scratch[1 << 16];

    while (len > 0 && r->can_splice) {
        ssize_t n = splice(0, NULL, r->null_fd, NULL, len, SPLICE_F_MOVE);
        if (n == 0)
            return 0;
        if (n > 0)
            len -= (size_t)n;
        else if (errno == EINVAL)
            r->can_splice = false; /* standard input is not a pipe */
        else if (errno != EINTR)
            return -1;
    }
    while (len > 0) {
        size_t part = len < sizeof scratch ? len : sizeof scratch;
        int ret = read_all(scratch, part);
        if (ret <= 0)
            return ret;
        len -= part;
    }
    return 1;
}

/* Mean luma of the middle quarter of cell i: its edges may be blurred. */
static int cell_mean(const struct reader *r, int i)
{
    int sum = 0;

    for (int y = CELL_PX / 4; y < CELL_PX * 3 / 4; y++)
        for (int x = CELL_PX / 4; x < CELL_PX * 3 / 4; x++)
            sum += r->rows[(size_t)y * (size_t)r->width + (size_t)(i * CELL_PX + x)];
    return sum / (CELL_PX / 2 * CELL_PX / 2);
}

static bool read_cells(const struct reader *r, uint32_t *ticks)
{
    uint8_t cell[CELL_COUNT];
    int white = (cell_mean(r, 0) + cell_mean(r, 2)) / 2;
    int black = (cell_mean(r, 1) + cell_mean(r, 3)) / 2;

    if (white - black < 64)
        return false;
    for (int i = 0; i < CELL_COUNT; i++)
        cell[i] = cell_mean(r, i) > (white + black) / 2;
    return cells_decode(cell, ticks) == 0;
}

static bool add_latency(struct reader *r, int64_t latency_us)
{
    if (r->n == r->cap) {
        size_t cap = r->cap ? 2 * r->cap : 4096;
        int64_t *p = realloc(r->latency_us, cap * sizeof *p);
        if (!p)
            return false;
        r->latency_us = p;
        r->cap = cap;
    }
    r->latency_us[r->n++] = latency_us;
    return true;
}

static void log_line(struct reader *r, int64_t now_us, const char *what, int64_t latency_us)
{
    if (!r->log)
        return;
    if (what)
        fprintf(r->log, "%lld %s\n", (long long)now_us, what);
    else
        fprintf(r->log, "%lld %lld\n", (long long)now_us, (long long)latency_us);
}

static bool take_picture(struct reader *r, int64_t now_us)
{
    uint32_t ticks;
    bool counts, readable = read_cells(r, &ticks);

    if (!r->started_us)
        r->started_us = now_us;
    counts = now_us - r->started_us >= r->skip_us;
    if (counts) {
        if (!r->first_us)
            r->first_us = now_us;
        r->last_us = now_us;
        r->pictures++;
        r->unreadable += !readable;
    }
    if (!readable) {
        log_line(r, now_us, "bad", 0);
        return true;
    }
    /* Ticks wrap after five days; only later ones are new. */
    if (r->have_ticks && (int32_t)(ticks - r->ticks) <= 0) {
        log_line(r, now_us, "repeat", 0);
        return true;
    }
    r->have_ticks = true;
    r->ticks = ticks;

    int64_t latency_us = (int64_t)(int32_t)((uint32_t)(now_us / CELL_TICK_US) - ticks) *
                         CELL_TICK_US;
    log_line(r, now_us, NULL, latency_us);
    return !counts || add_latency(r, latency_us);
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static void print_ms(const struct reader *r, const char *name, double share)
{
    printf(", \"%s\": ", name);
    if (r->n == 0)
        printf("null");
    else
        printf("%.1f", (double)r->latency_us[(size_t)(share * (double)(r->n - 1) + 0.5)] / 1e3);
}

static void print_result(struct reader *r)
{
    double seconds = (double)(r->last_us - r->first_us) / 1e6;

    if (r->n > 0)
        qsort(r->latency_us, r->n, sizeof *r->latency_us, by_value);
    printf("{\"pictures\": %ld, \"unreadable\": %ld, \"updates\": %zu", r->pictures,
           r->unreadable, r->n);
    if (seconds > 0)
        printf(", \"fps\": %.1f, \"updates_per_s\": %.1f", (double)(r->pictures - 1) / seconds,
               (double)r->n / seconds);
    else
        printf(", \"fps\": null, \"updates_per_s\": null");
    print_ms(r, "p50_ms", 0.5);
    print_ms(r, "p95_ms", 0.95);
    print_ms(r, "min_ms", 0);
    print_ms(r, "max_ms", 1);
    printf("}\n");
}

static bool options(struct reader *r, int argc, char **argv)
{
    if (argc < 2 || sscanf(argv[1], "%dx%d", &r->width, &r->height) != 2)
        return false;
    for (int i = 2; i < argc; i += 2) {
        if (i + 1 >= argc)
            return false;
        if (!strcmp(argv[i], "--skip")) {
            r->skip_us = (int64_t)(atof(argv[i + 1]) * 1e6);
        } else if (!strcmp(argv[i], "--log")) {
            r->log = fopen(argv[i + 1], "w");
            if (!r->log) {
                perror(argv[i + 1]);
                return false;
            }
            setvbuf(r->log, NULL, _IOLBF, 0);
        } else {
            return false;
        }
    }
    return r->width >= CELL_ROW_PX && r->width <= 16384 && r->height >= CELL_PX &&
           r->height <= 16384;
}

int main(int argc, char **argv)
{
    struct reader r = {.can_splice = true};
    size_t top, rest;
    int ret;

    if (!options(&r, argc, argv)) {
        fprintf(stderr, "usage: cellread WIDTHxHEIGHT [--skip SECONDS] [--log FILE]\n");
        return 2;
    }
    top = (size_t)r.width * CELL_PX;
    rest = (size_t)r.width * (size_t)r.height +
           2 * (size_t)((r.width + 1) / 2) * (size_t)((r.height + 1) / 2) - top;
    r.rows = malloc(top);
    r.null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (!r.rows || r.null_fd < 0) {
        perror("cellread");
        return 1;
    }
    (void)fcntl(0, F_SETPIPE_SZ, 1 << 20); /* fewer switches between writer and reader */

    while ((ret = read_all(r.rows, top)) > 0) {
        if (!take_picture(&r, cells_now_us())) {
            fprintf(stderr, "cellread: out of memory\n");
            return 1;
        }
        if ((ret = discard(&r, rest)) <= 0)
            break;
    }
    print_result(&r);
    if (r.log)
        fclose(r.log);
    close(r.null_fd);
    free(r.latency_us);
    free(r.rows);
    return ret < 0;
}

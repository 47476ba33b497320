/* source: where pictures, or encoded access units, come from.
 *
 * Drivers are rows of a table (source.c). `open` runs on the session's caller; `wait`, `read`,
 * `read_au` and `close` on the capture thread alone; `interrupt` on any thread. */
#ifndef HEVCAST_SOURCE_SOURCE_H
#define HEVCAST_SOURCE_SOURCE_H

#include "base/picture.h"

#include <stdbool.h>
#include <stdint.h>

struct source_config {
    const char *spec;    /* SOURCE of the command line: screen, x11[:DISPLAY], test[:WxH@FPS], file… */
    const char *monitor; /* name or number; NULL: all */
    const char *region;  /* WxH+X+Y; NULL: all */
    const char *window;  /* id (0x… or decimal) or a part of its title; NULL: none */
    int fps;             /* most pictures a second; pace of raw Annex B */
    bool cursor;         /* draw the pointer in */
    bool loop;           /* a file starts again at its end */
    bool decode_always;  /* never pass coded access units through (444 wanted from 420, say) */
};

enum source_kind { SOURCE_PICTURES, SOURCE_ACCESS_UNITS };

struct source_info {
    enum source_kind kind;
    int width, height;  /* at open; a picture says its own */
    double fps;         /* expected; an upper bound for screens */
    bool yuv444;        /* access units that are 4:4:4 */
    int profile_idc, level_idc; /* of access units, as in the SPS; 0 when pictures */
    char tier;          /* 0 main, 1 high */
    char text[128];     /* for people: "screen :0, 1920x1080" */
};

enum {
    SOURCE_IDLE = 0,    /* the timeout passed, or interrupted */
    SOURCE_CHANGED = 1, /* read will give something new */
    SOURCE_ENDED = 2,   /* over; source_end_reason says why */
};

struct source {
    const struct source_ops *ops;
    struct source_info info;
    char end_reason[256]; /* a sentence, set before SOURCE_ENDED; "" for a plain end of file */
    bool failed;          /* an error (display gone), not an end (file played, window closed) */
};

struct source_ops {
    const char *name;
    /* Does this driver take the spec? Tried in the table's order. */
    bool (*takes)(const char *spec);
    /* gives *out; a negative error with error_text(). */
    int (*open)(struct source **out, const struct source_config *config);
    /* Blocks until something changed, at most timeout_us (< 0: for ever). A source with its own
     * pace (file, test) says SOURCE_CHANGED when the next picture is due. */
    int (*wait)(struct source *s, int64_t timeout_us);
    /* SOURCE_PICTURES: gives the whole picture as it is now, with the damage since the last read;
     * may be called without a change (the damage is then empty). 0, ERR_ENDED (as SOURCE_ENDED),
     * or another negative error that is worth a retry. All of its buffers out: ERR_TIMEOUT. */
    int (*read)(struct source *s, struct picture **out);
    /* SOURCE_ACCESS_UNITS: gives the access unit that is due. */
    int (*read_au)(struct source *s, struct access_unit **out);
    /* Makes a blocked or the next `wait` return SOURCE_IDLE. Any thread, async-signal-safe not
     * needed. */
    void (*interrupt)(struct source *s);
    void (*close)(struct source *s);
};

extern const struct source_ops source_x11, source_test, source_file;

/* Opens the first driver that takes the spec. */
int source_open(struct source **out, const struct source_config *config);
void source_close(struct source **s);

#endif

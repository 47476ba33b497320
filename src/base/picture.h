/* Pictures, damage and access units: what the stages hand each other.
 *
 * A picture or an access unit is reference-counted; counts are atomic, so any thread may hold
 * and drop references. Its contents are immutable once it was handed on.
 * Pure: no clock, no thread, no allocation but in *_new. */
#ifndef HEVCAST_BASE_PICTURE_H
#define HEVCAST_BASE_PICTURE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Pixels: x to the right, y down, w and h above 0 in a non-empty rectangle. */
struct rect {
    int x, y, w, h;
};

/* The changed area, as at most DAMAGE_MAX rectangles that may overlap. When full, rectangles
 * are merged: damage may say too much, never too little. */
enum { DAMAGE_MAX = 32 };
struct damage {
    int n;
    struct rect r[DAMAGE_MAX];
};

static inline bool rect_empty(const struct rect *r) { return r->w <= 0 || r->h <= 0; }
struct rect rect_intersect(struct rect a, struct rect b);
struct rect rect_union(struct rect a, struct rect b); /* bounding box */
bool rect_contains(struct rect outer, struct rect inner);

void damage_clear(struct damage *d);
void damage_add(struct damage *d, struct rect r);
void damage_add_all(struct damage *d, const struct damage *other);
void damage_set_all(struct damage *d, int width, int height);
/* Clips to the picture; rounds outward to multiples of `align` (1, 2, 8, …). */
void damage_clip(struct damage *d, int width, int height, int align);
bool damage_is_all(const struct damage *d, int width, int height);
/* Pixels covered, overlaps counted twice: an upper bound. */
int64_t damage_area(const struct damage *d);
struct rect damage_bounds(const struct damage *d);

enum pix_fmt {
    PIX_BGRX, /* one plane, 4 bytes a pixel in memory order B, G, R, ignored */
    PIX_I420, /* BT.709 limited range unless `full_range` */
    PIX_I444,
    PIX_NV12,
};

struct picture {
    atomic_int refs;
    enum pix_fmt fmt;
    int width, height; /* pixels; chroma planes of 4:2:0 are rounded up */
    uint8_t *plane[3];
    int stride[3]; /* bytes */
    bool full_range, bt601; /* decoder output only: how to read the colours; else false */

    /* Monotonic microseconds (base/clock.h). event_us: when the change was noticed (0: unknown);
     * capture_us: when its pixels had been read; ready_us: when converted or decoded. */
    int64_t event_us, capture_us, ready_us;
    int64_t pts_us;         /* media time; equal to capture_us for a screen */
    struct damage damage;   /* relative to the picture that the source gave before */

    /* Receiving side: filled from the access unit that was decoded. */
    uint64_t capture_ntp;   /* abs-capture-time, UQ32.32; 0 when unknown */
    int64_t first_packet_us, complete_us, show_us, decode_start_us;

    /* Called when the last reference is dropped; owns the memory of the planes. */
    void (*release)(struct picture *p, void *ctx);
    void *release_ctx;
};

/* Planes in one block of memory, rows aligned to 64 bytes. NULL when out of memory. */
struct picture *picture_new(enum pix_fmt fmt, int width, int height);
struct picture *picture_ref(struct picture *p);
/* Drops the reference and sets *p to NULL; *p may be NULL. */
void picture_unref(struct picture **p);
int picture_planes(enum pix_fmt fmt);
/* Width in bytes and rows of plane i. */
int picture_row_bytes(enum pix_fmt fmt, int width, int i);
int picture_rows(enum pix_fmt fmt, int height, int i);

/* A pool of equal pictures: picture_pool_get reuses a released one. Thread-safe and lock-free
 * to release; get is for one thread at a time. When the geometry changes, the old pictures are
 * freed as they come back. The pool itself lives until its last picture is released. */
struct picture_pool;
struct picture_pool *picture_pool_new(int capacity);
/* NULL when `capacity` pictures are out (a consumer is stalled: skip) or out of memory. */
struct picture *picture_pool_get(struct picture_pool *pool, enum pix_fmt fmt, int width,
                                 int height);
void picture_pool_free(struct picture_pool **pool);

/* One access unit, Annex B with 4-byte start codes (the only form inside hevcast). */
struct access_unit {
    atomic_int refs;
    uint8_t *data;
    size_t len, cap;
    uint64_t pic_id;      /* numbered by the session, from 1; never reused */
    int64_t pts_us;       /* media time; RTP timestamp = pts_us * 9 / 100 + a random offset */
    int width, height;    /* 0 when unknown */
    bool irap;            /* begins with VPS, SPS, PPS in-band */
    bool refinement;      /* of a still picture: skipping it loses sharpness, not content */
    int qp;               /* of the encoder; -1 unknown */
    uint64_t refers_to[8]; /* pic_ids, n_refers of them; 0 of them: not told */
    int n_refers;
    bool repair;          /* refers to what every viewer has alone, after a loss */

    /* Sender, monotonic microseconds: change noticed, pixels read, conversion done, encode
     * begun and done. */
    int64_t event_us, capture_us, convert_us, encode_start_us, encode_us;

    /* Receiver; capture_us too, as far as the sender's clock is known (else 0). */
    uint32_t rtp_ts;
    uint64_t capture_ntp;
    int64_t first_packet_us, complete_us;
    int64_t show_us;      /* when it should be shown, not before complete_us: jitter/playout.h */
    bool after_loss;      /* access units were lost right before this one */
};

struct access_unit *access_unit_new(size_t cap); /* NULL: out of memory */
struct access_unit *access_unit_ref(struct access_unit *au);
void access_unit_unref(struct access_unit **au);
/* Makes room for cap bytes in all, keeping the data. false: out of memory, unchanged.
 * Only for the one holder that still builds it. */
bool access_unit_reserve(struct access_unit *au, size_t cap);
bool access_unit_append(struct access_unit *au, const void *data, size_t len);

#endif

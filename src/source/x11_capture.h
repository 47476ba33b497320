/* Reads pixels into a few buffers that are handed on by reference.
 *
 * The buffers are shared memory that the server writes; each remembers what is stale in it
 * ("buffer age"), so that a reused one is brought up to date by reading that alone. A buffer that
 * a consumer holds is never written. Capture thread; a picture is released on any thread, also
 * after the capture was closed. */
#ifndef HEVCAST_SOURCE_X11_CAPTURE_H
#define HEVCAST_SOURCE_X11_CAPTURE_H

#include "source/x11_conn.h"

#include <stdatomic.h>

enum { X11_BUFFERS = 4 };

struct x11_buffer {
    struct picture pic;
    atomic_int state; /* BUFFER_FREE, _OUT (held by a consumer), _ORPHAN */
    uint8_t *mem;     /* owns; rows tightly packed, as the server writes them */
    size_t size;
    uint32_t seg;           /* the server's name of mem; 0: not shared */
    struct damage stale;    /* what differs from the screen as of the last picture */
    struct rect under;      /* where the pointer is drawn in */
    uint32_t *under_pixels; /* owns; what was there before */
    size_t under_cap;       /* pixels */
};

/* One request on its way. */
struct x11_read_job {
    struct rect r;
    size_t scratch_offset;
    bool in_place;
    unsigned sequence;
};

struct x11_capture {
    struct x11_conn *x; /* borrows */
    int width, height;
    bool shared; /* false: pixels come through the socket */
    struct x11_buffer *buffers[X11_BUFFERS];
    uint8_t *scratch; /* owns; small rectangles land here, packed */
    size_t scratch_size;
    uint32_t scratch_seg;
    struct x11_read_job jobs[DAMAGE_MAX];
    int n_jobs;
    struct damage covered;  /* what the jobs read: at least what was asked for */
    unsigned last_sequence; /* of the last request of the jobs */
};

/* Checks that the server's pixels are BGRX. */
int x11_capture_open(struct x11_capture *c, struct x11_conn *x, uint8_t depth);
/* Forgets all buffers when the size is another. */
void x11_capture_resize(struct x11_capture *c, int width, int height);
/* A free buffer, the freshest; the caller writes it before the next call. NULL with error_text:
 * all are out (ERR_TIMEOUT in *error) or no memory. */
struct x11_buffer *x11_capture_get(struct x11_capture *c, int *error);
/* Queues requests for these rectangles of the picture, which stands at origin x, y of the
 * drawable. Sends nothing by itself. */
void x11_capture_request(struct x11_capture *c, struct x11_buffer *b, xcb_drawable_t drawable,
                         int x, int y, const struct damage *rects);
/* Waits for the pixels. false: a request failed (sizes changed meanwhile, or the connection
 * broke); the buffer is stale where it was asked. */
bool x11_capture_collect(struct x11_capture *c, struct x11_buffer *b);
/* Adds to what is stale in all buffers but b (NULL: in all). */
void x11_capture_stale(struct x11_capture *c, const struct x11_buffer *b,
                       const struct damage *damage);
/* Hands the buffer on as a picture with one reference. */
struct picture *x11_capture_give(struct x11_buffer *b, int width, int height);
void x11_capture_close(struct x11_capture *c);

#endif

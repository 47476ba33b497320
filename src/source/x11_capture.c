#include "source/x11_capture.h"

#include "base/log.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xcb/shm.h>

enum { BUFFER_FREE, BUFFER_OUT, BUFFER_ORPHAN };

/* What reading costs, in pixels of a large read in place; it decides when fewer, larger reads are
 * better. Measured on Xvfb and Xvnc at 1080p: 0.4 ns a pixel in place, 1.4 ns through the scratch
 * memory (short rows, and a copy), 6.5 us a request. */
enum { SCRATCH_COST = 4, REQUEST_COST = 16000 };

static uint8_t *memory_new(struct x11_capture *c, size_t size, uint32_t *seg)
{
    *seg = 0;
    int fd = memfd_create("hevcast-capture", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || ftruncate(fd, (off_t)size)) {
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    uint8_t *mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mem == MAP_FAILED) {
        close(fd);
        return NULL;
    }
    if (!c->shared) {
        close(fd);
        return mem;
    }
    *seg = xcb_generate_id(c->x->c);
    /* takes fd */
    xcb_generic_error_t *e =
        xcb_request_check(c->x->c, xcb_shm_attach_fd_checked(c->x->c, *seg, fd, 0));
    if (e) {
        LOG_WARN(x11,
                 "shared memory does not work with X display %s (error %d): "
                 "capturing through the socket, which is slower",
                 c->x->display, e->error_code);
        free(e);
        c->shared = false;
        *seg = 0;
    }
    return mem;
}

static void memory_free(struct x11_capture *c, uint8_t **mem, size_t size, uint32_t *seg)
{
    if (*seg)
        xcb_shm_detach(c->x->c, *seg);
    *seg = 0;
    if (*mem)
        munmap(*mem, size);
    *mem = NULL;
}

static void buffer_free(struct x11_buffer *b)
{
    munmap(b->mem, b->size);
    free(b->under_pixels);
    free(b);
}

/* A consumer dropped the last reference; any thread. */
static void buffer_release(struct picture *p, void *ctx)
{
    (void)p;
    struct x11_buffer *b = ctx;
    int out = BUFFER_OUT;
    if (!atomic_compare_exchange_strong(&b->state, &out, BUFFER_FREE))
        buffer_free(b);
}

/* The capture lets go of it; who holds it frees it. */
static void buffer_orphan(struct x11_capture *c, struct x11_buffer **slot)
{
    struct x11_buffer *b = *slot;
    *slot = NULL;
    if (!b)
        return;
    if (b->seg)
        xcb_shm_detach(c->x->c, b->seg);
    if (atomic_exchange(&b->state, BUFFER_ORPHAN) == BUFFER_FREE)
        buffer_free(b);
}

static const xcb_visualtype_t *visual_of_depth(xcb_screen_t *screen, uint8_t depth)
{
    xcb_depth_iterator_t d = xcb_screen_allowed_depths_iterator(screen);
    for (; d.rem; xcb_depth_next(&d)) {
        xcb_visualtype_iterator_t v = xcb_depth_visuals_iterator(d.data);
        for (; d.data->depth == depth && v.rem; xcb_visualtype_next(&v))
            if (v.data->_class == XCB_VISUAL_CLASS_TRUE_COLOR ||
                v.data->_class == XCB_VISUAL_CLASS_DIRECT_COLOR)
                return v.data;
    }
    return NULL;
}

int x11_capture_open(struct x11_capture *c, struct x11_conn *x, uint8_t depth)
{
    memset(c, 0, sizeof *c);
    c->x = x;
    c->shared = x->shm && x->local;
    const xcb_setup_t *setup = xcb_get_setup(x->c);
    const xcb_visualtype_t *v = visual_of_depth(x->screen, depth);
    bool bits32 = false;
    xcb_format_iterator_t f = xcb_setup_pixmap_formats_iterator(setup);
    for (; f.rem; xcb_format_next(&f))
        if (f.data->depth == depth)
            bits32 = f.data->bits_per_pixel == 32;
    if ((depth != 24 && depth != 32) || !bits32 || !v || v->red_mask != 0xff0000 ||
        v->green_mask != 0xff00 || v->blue_mask != 0xff ||
        setup->image_byte_order != XCB_IMAGE_ORDER_LSB_FIRST)
        return error_set(ERR_UNSUPPORTED,
                         "X display %s has %d-bit pixels of a kind that hevcast "
                         "does not read; start it with 24-bit colour",
                         x->display, depth);
    if (!c->shared)
        LOG_WARN(x11,
                 "X display %s has no shared memory with this machine: capturing through the "
                 "socket, which is slower",
                 x->display);
    return 0;
}

void x11_capture_resize(struct x11_capture *c, int width, int height)
{
    if (width == c->width && height == c->height)
        return;
    for (int i = 0; i < X11_BUFFERS; i++)
        buffer_orphan(c, &c->buffers[i]);
    memory_free(c, &c->scratch, c->scratch_size, &c->scratch_seg);
    c->width = width;
    c->height = height;
}

static struct x11_buffer *buffer_new(struct x11_capture *c)
{
    struct x11_buffer *b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    b->size = (size_t)c->width * (size_t)c->height * 4;
    b->mem = memory_new(c, b->size, &b->seg);
    if (!b->mem) {
        free(b);
        return NULL;
    }
    atomic_init(&b->state, BUFFER_FREE);
    damage_set_all(&b->stale, c->width, c->height);
    return b;
}

struct x11_buffer *x11_capture_get(struct x11_capture *c, int *error)
{
    struct x11_buffer *best = NULL;
    int empty = -1;
    for (int i = 0; i < X11_BUFFERS; i++) {
        struct x11_buffer *b = c->buffers[i];
        if (!b)
            empty = i;
        else if (atomic_load(&b->state) == BUFFER_FREE &&
                 (!best || damage_area(&b->stale) < damage_area(&best->stale)))
            best = b;
    }
    if (best)
        return best;
    if (empty < 0) {
        *error = error_set(ERR_TIMEOUT, "all %d capture buffers are in use", X11_BUFFERS);
        return NULL;
    }
    if (!c->scratch) {
        /* A plan that costs more than the whole picture is not made: see plan(). */
        c->scratch_size = (size_t)c->width * (size_t)c->height * 4 / SCRATCH_COST + 4;
        c->scratch = memory_new(c, c->scratch_size, &c->scratch_seg);
    }
    if (c->scratch)
        c->buffers[empty] = buffer_new(c);
    if (!c->buffers[empty])
        *error = error_set(ERR_MEMORY, "no memory for a picture of %dx%d", c->width, c->height);
    return c->buffers[empty];
}

static struct rect widened(struct x11_capture *c, struct rect r)
{
    return r.w * SCRATCH_COST > c->width ? (struct rect){0, r.y, c->width, r.h} : r;
}

/* Full-width bands land in place, since the server packs rows; other rectangles take a copy more.
 * Each kind where it is cheaper; the whole picture when that is. Fills c->covered. */
static void plan(struct x11_capture *c, const struct damage *rects)
{
    struct damage *d = &c->covered;
    damage_clear(d);
    for (int i = 0; i < rects->n; i++)
        damage_add(
            d, widened(c, rect_intersect(rects->r[i], (struct rect){0, 0, c->width, c->height})));
    int64_t cost = 0;
    for (int i = 0; i < d->n; i++) {
        d->r[i] = widened(c, d->r[i]); /* damage_add may have merged narrow ones into a wide one */
        int64_t area = (int64_t)d->r[i].w * d->r[i].h;
        cost += REQUEST_COST + (d->r[i].w == c->width ? area : SCRATCH_COST * area);
    }
    /* So what goes through the scratch memory is less than 1 / SCRATCH_COST of the picture. */
    if (d->n && cost >= (int64_t)c->width * c->height + REQUEST_COST)
        damage_set_all(d, c->width, c->height);
}

void x11_capture_request(struct x11_capture *c, struct x11_buffer *b, xcb_drawable_t drawable,
                         int x, int y, const struct damage *rects)
{
    xcb_connection_t *conn = c->x->c;
    plan(c, rects);
    damage_add_all(&b->stale, &c->covered); /* until collected */
    c->n_jobs = c->covered.n;
    size_t offset = 0;
    for (int i = 0; i < c->n_jobs; i++) {
        struct x11_read_job *j = &c->jobs[i];
        j->r = c->covered.r[i];
        j->in_place = j->r.w == c->width;
        j->scratch_offset = offset;
        int16_t sx = (int16_t)(x + j->r.x), sy = (int16_t)(y + j->r.y);
        uint16_t w = (uint16_t)j->r.w, h = (uint16_t)j->r.h;
        if (!b->seg || !c->scratch_seg) {
            j->sequence =
                xcb_get_image(conn, XCB_IMAGE_FORMAT_Z_PIXMAP, drawable, sx, sy, w, h, UINT32_MAX)
                    .sequence;
        } else if (j->in_place) {
            j->sequence = xcb_shm_get_image(conn, drawable, sx, sy, w, h, UINT32_MAX,
                                            XCB_IMAGE_FORMAT_Z_PIXMAP, b->seg,
                                            (uint32_t)j->r.y * (uint32_t)c->width * 4)
                              .sequence;
        } else {
            j->sequence =
                xcb_shm_get_image(conn, drawable, sx, sy, w, h, UINT32_MAX,
                                  XCB_IMAGE_FORMAT_Z_PIXMAP, c->scratch_seg, (uint32_t)offset)
                    .sequence;
            offset += (size_t)j->r.w * (size_t)j->r.h * 4;
        }
        c->last_sequence = j->sequence;
    }
}

static void copy_rows(struct x11_capture *c, struct x11_buffer *b, struct rect r,
                      const uint8_t *from)
{
    size_t row = (size_t)r.w * 4, stride = (size_t)c->width * 4;
    uint8_t *to = b->mem + (size_t)r.y * stride + (size_t)r.x * 4;
    for (int i = 0; i < r.h; i++, to += stride, from += row)
        memcpy(to, from, row);
}

static bool collect_shared(struct x11_capture *c, struct x11_buffer *b, struct x11_read_job *j)
{
    xcb_shm_get_image_cookie_t cookie = {j->sequence};
    xcb_shm_get_image_reply_t *r = xcb_shm_get_image_reply(c->x->c, cookie, NULL);
    if (!r)
        return false;
    free(r);
    if (!j->in_place)
        copy_rows(c, b, j->r, c->scratch + j->scratch_offset);
    return true;
}

static bool collect_sent(struct x11_capture *c, struct x11_buffer *b, struct x11_read_job *j)
{
    xcb_get_image_cookie_t cookie = {j->sequence};
    xcb_get_image_reply_t *r = xcb_get_image_reply(c->x->c, cookie, NULL);
    bool ok = r && (int64_t)xcb_get_image_data_length(r) >= (int64_t)j->r.w * j->r.h * 4;
    if (ok)
        copy_rows(c, b, j->r, xcb_get_image_data(r));
    free(r);
    return ok;
}

bool x11_capture_collect(struct x11_capture *c, struct x11_buffer *b)
{
    bool ok = true;
    bool shared = b->seg && c->scratch_seg;
    /* All replies are taken, also after a failure: none may stay in the queue. */
    for (int i = 0; i < c->n_jobs; i++)
        ok = (shared ? collect_shared(c, b, &c->jobs[i]) : collect_sent(c, b, &c->jobs[i])) && ok;
    return ok;
}

void x11_capture_stale(struct x11_capture *c, const struct x11_buffer *b,
                       const struct damage *damage)
{
    for (int i = 0; i < X11_BUFFERS; i++)
        if (c->buffers[i] && c->buffers[i] != b)
            damage_add_all(&c->buffers[i]->stale, damage);
}

struct picture *x11_capture_give(struct x11_buffer *b, int width, int height)
{
    b->pic = (struct picture){.fmt = PIX_BGRX, .width = width, .height = height};
    b->pic.plane[0] = b->mem;
    b->pic.stride[0] = width * 4;
    b->pic.release = buffer_release;
    b->pic.release_ctx = b;
    atomic_init(&b->pic.refs, 1);
    atomic_store(&b->state, BUFFER_OUT);
    return &b->pic;
}

void x11_capture_close(struct x11_capture *c)
{
    if (!c->x)
        return;
    for (int i = 0; i < X11_BUFFERS; i++)
        buffer_orphan(c, &c->buffers[i]);
    memory_free(c, &c->scratch, c->scratch_size, &c->scratch_seg);
}

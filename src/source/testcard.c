#include "source/testcard.h"

#include "base/clock.h"
#include "base/error.h"
#include "source/source.h"
#include "source/wake.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUFFERS = 8, GLYPH_W = 6, GLYPH_H = 8, CLOCK_LEN = 12, COUNT_LEN = 12 };
enum { BLACK = 0x000000, WHITE = 0xffffff, LANE = 0x303030, BOX = 0xff8000 };

const uint32_t testcard_bars[TESTCARD_BARS] = {0xbfbfbf, 0xbfbf00, 0x00bfbf, 0x00bf00,
                                               0xbf00bf, 0xbf0000, 0x0000bf, 0x000000};

/* Where things stand; fixed for the life of the source. */
struct layout {
    int clock_y, text_y, lane_y;
    struct testcard_strip strip;
    int box, clock_x, clock_scale, count_x, count_y, count_scale;
};

/* What a picture shows in its moving parts. */
struct state {
    int64_t time_us, real_us, frame;
    int box_x;
    char clock[CLOCK_LEN + 1], count[COUNT_LEN + 1];
};

/* A buffer of the pool, known by its pixels: the static parts are drawn only once in each. */
struct buffer {
    const uint8_t *pixels; /* borrows; NULL: free row */
    int box_x;
};

struct testcard {
    struct source base;
    int width, height, fps;
    struct layout at;
    struct picture_pool *pool;
    struct buffer buffers[BUFFERS];
    int wake;
    int64_t start_us;
    int64_t shown_tick; /* the newest tick that was drawn; -1: none */
    struct state state; /* of the picture given last */
};

static struct testcard *testcard_of(struct source *s) { return (struct testcard *)s; }

/* ---- drawing ---- */

static void fill(struct picture *p, struct rect r, uint32_t rgb)
{
    r = rect_intersect(r, (struct rect){0, 0, p->width, p->height});
    if (rect_empty(&r))
        return;
    uint8_t *row = p->plane[0] + (ptrdiff_t)r.y * p->stride[0] + r.x * 4;
    for (int x = 0; x < r.w; x++) {
        row[4 * x] = (uint8_t)rgb;
        row[4 * x + 1] = (uint8_t)(rgb >> 8);
        row[4 * x + 2] = (uint8_t)(rgb >> 16);
        row[4 * x + 3] = 0xff;
    }
    for (int y = 1; y < r.h; y++)
        memcpy(row + (ptrdiff_t)y * p->stride[0], row, (size_t)r.w * 4);
}

static void draw_text(struct picture *p, int x, int y, int scale, uint32_t fg, uint32_t bg,
                      const char *text)
{
    for (; *text; text++, x += GLYPH_W * scale) {
        const uint8_t *glyph = testcard_glyph(*text);
        fill(p, (struct rect){x, y, GLYPH_W * scale, GLYPH_H * scale}, bg);
        for (int r = 0; r < 7; r++)
            for (int c = 0; c < 5; c++)
                if (glyph[r] & 0x10 >> c)
                    fill(p, (struct rect){x + c * scale, y + r * scale, scale, scale}, fg);
    }
}

static void draw_small_text(const struct testcard *t, struct picture *p)
{
    static const uint32_t colours[][2] = {
        {0xff4040, 0x101010}, {0x0000ff, 0xffffff}, {0x40ff40, 0x202040}, {0xffff00, 0x0000a0},
        {0x000000, 0xffffff}, {0xff00ff, 0xf0f0d0}, {0x00ffff, 0x400000}, {0xffffff, 0x008000},
    };
    static const char words[] = "SMALL COLOURED TEXT 0123456789 THE QUICK BROWN FOX, + JUMPS / ";
    int lines = 0;
    for (int y = t->at.text_y, scale = 1; y < t->at.lane_y; y += GLYPH_H * scale + 2) {
        const uint32_t *c = colours[lines % 8];
        scale = t->height >= 720 && lines % 2 ? 2 : 1;
        int h = GLYPH_H * scale + 2;
        if (y + h > t->at.lane_y)
            h = t->at.lane_y - y;
        fill(p, (struct rect){0, y, t->width, h}, c[1]);
        if (h == GLYPH_H * scale + 2) {
            char one[2] = {0};
            for (int i = 0; (i + 1) * GLYPH_W * scale <= t->width; i++) {
                one[0] = words[(i + lines * 7) % (int)(sizeof words - 1)];
                draw_text(p, i * GLYPH_W * scale, y + 1, scale, c[0], c[1], one);
            }
        }
        lines++;
    }
}

static void draw_static(const struct testcard *t, struct picture *p)
{
    for (int i = 0; i < TESTCARD_BARS; i++) {
        int x0 = i * t->width / TESTCARD_BARS, x1 = (i + 1) * t->width / TESTCARD_BARS;
        fill(p, (struct rect){x0, 0, x1 - x0, t->at.clock_y}, testcard_bars[i]);
    }
    fill(p, (struct rect){0, t->at.clock_y, t->width, t->at.text_y - t->at.clock_y}, BLACK);
    draw_small_text(t, p);
    fill(p, (struct rect){0, t->at.lane_y, t->width, t->at.strip.y - t->at.lane_y}, LANE);
    fill(p, (struct rect){0, t->at.strip.y, t->width, t->height - t->at.strip.y}, BLACK);
}

static uint8_t crc8(const uint8_t *data, int len)
{
    uint8_t crc = 0xff;
    for (int i = 0; i < len; i++) {
        crc ^= data[i];
        for (int b = 0; b < 8; b++)
            crc = (uint8_t)(crc & 0x80 ? crc << 1 ^ 0x07 : crc << 1);
    }
    return crc;
}

static void draw_strip(const struct testcard *t, struct picture *p, const struct state *s)
{
    uint8_t bytes[8];
    for (int i = 0; i < 6; i++)
        bytes[i] = (uint8_t)(s->time_us >> (40 - 8 * i));
    bytes[6] = (uint8_t)s->frame;
    bytes[7] = crc8(bytes, 7);
    int cell = t->at.strip.cell;
    for (int r = 0; r < TESTCARD_ROWS; r++) {
        for (int c = 0; c < TESTCARD_COLUMNS; c++) {
            int bit = r * 16 + c - 1;
            bool white = c == 0 || (c <= 16 && bytes[bit / 8] >> (7 - bit % 8) & 1);
            fill(p, (struct rect){c * cell, t->at.strip.y + r * cell, cell, cell},
                 white ? WHITE : BLACK);
        }
    }
}

static struct rect box_rect(const struct testcard *t, int x)
{
    return (struct rect){x, t->at.lane_y, t->at.box, t->at.box};
}

static void draw_box(const struct testcard *t, struct picture *p, int x)
{
    struct rect r = box_rect(t, x);
    int edge = r.w / 4;
    fill(p, r, BOX);
    fill(p, (struct rect){r.x + edge, r.y + edge, r.w - 2 * edge, r.h - 2 * edge}, WHITE);
}

static void draw_state(struct testcard *t, struct picture *p, const struct state *s)
{
    struct buffer *b = NULL;
    for (int i = 0; i < BUFFERS && !b; i++)
        if (t->buffers[i].pixels == p->plane[0] || !t->buffers[i].pixels)
            b = &t->buffers[i];
    if (!b || !b->pixels) /* never !b: the pool has no more than BUFFERS */
        draw_static(t, p);
    else
        fill(p, box_rect(t, b->box_x), LANE);
    if (b) {
        b->pixels = p->plane[0];
        b->box_x = s->box_x;
    }
    draw_text(p, t->at.clock_x, t->at.clock_y, t->at.clock_scale, WHITE, BLACK, s->clock);
    draw_text(p, t->at.count_x, t->at.count_y, t->at.count_scale, 0x00ff00, BLACK, s->count);
    draw_box(t, p, s->box_x);
    draw_strip(t, p, s);
}

/* ---- what it shows ---- */

static void state_at(const struct testcard *t, struct state *s, int64_t tick)
{
    memset(s, 0, sizeof *s);
    s->time_us = clock_now_us();
    s->real_us = clock_real_us();
    s->frame = tick;
    time_t sec = (time_t)(s->real_us / 1000000);
    struct tm tm = {0};
    localtime_r(&sec, &tm);
    snprintf(s->clock, sizeof s->clock, "%02u:%02u:%02u.%03u", (unsigned)tm.tm_hour % 24,
             (unsigned)tm.tm_min % 60, (unsigned)tm.tm_sec % 100,
             (unsigned)(s->real_us / 1000 % 1000));
    snprintf(s->count, sizeof s->count, "FRAME %06u", (unsigned)(tick % 1000000));
    /* There and back in four seconds, the same at every frame rate. */
    int64_t range = t->width - t->at.box, phase = tick * 1000000 / t->fps % 4000000;
    s->box_x = (int)(range * (phase < 2000000 ? phase : 4000000 - phase) / 2000000);
}

static void damage_text(struct damage *d, int x, int y, int scale, const char *was, const char *is)
{
    for (int i = 0; is[i]; i++)
        if (was[i] != is[i])
            damage_add(d, (struct rect){x + i * GLYPH_W * scale, y, GLYPH_W * scale,
                                        GLYPH_H * scale});
}

static void damage_between(const struct testcard *t, struct damage *d, const struct state *was,
                           const struct state *is)
{
    const struct layout *at = &t->at;
    damage_text(d, at->clock_x, at->clock_y, at->clock_scale, was->clock, is->clock);
    damage_text(d, at->count_x, at->count_y, at->count_scale, was->count, is->count);
    if (was->box_x != is->box_x) {
        damage_add(d, box_rect(t, was->box_x));
        damage_add(d, box_rect(t, is->box_x));
    }
    if (was->time_us != is->time_us)
        damage_add(d, (struct rect){0, at->strip.y, TESTCARD_COLUMNS * at->strip.cell,
                                    TESTCARD_ROWS * at->strip.cell});
    damage_clip(d, t->width, t->height, 1);
}

/* ---- the time stamp, for readers ---- */

struct testcard_strip testcard_strip_of(int width, int height)
{
    int cell = width / TESTCARD_COLUMNS < height / 20 ? width / TESTCARD_COLUMNS : height / 20;
    cell = cell > 16 ? 16 : cell < 4 ? 4 : cell & ~1;
    return (struct testcard_strip){.y = (height - TESTCARD_ROWS * cell) & ~7, .cell = cell};
}

/* Mean of the inner half of a cell, where a lossy code rings least. */
static int cell_value(const struct picture *p, struct testcard_strip at, int row, int column)
{
    int step = p->fmt == PIX_BGRX ? 4 : 1, offset = p->fmt == PIX_BGRX ? 1 : 0;
    int q = at.cell / 4, sum = 0, n = 0;
    for (int y = q; y < at.cell - q; y++) {
        const uint8_t *line = p->plane[0] + (ptrdiff_t)(at.y + row * at.cell + y) * p->stride[0];
        for (int x = q; x < at.cell - q; x++, n++)
            sum += line[(column * at.cell + x) * step + offset];
    }
    return sum / n;
}

bool testcard_read(const struct picture *p, struct testcard_stamp *out)
{
    if (p->width < TESTCARD_MIN_WIDTH || p->height < TESTCARD_MIN_HEIGHT)
        return false;
    struct testcard_strip at = testcard_strip_of(p->width, p->height);
    uint8_t bytes[8] = {0};
    for (int r = 0; r < TESTCARD_ROWS; r++) {
        int white = cell_value(p, at, r, 0), black = cell_value(p, at, r, TESTCARD_COLUMNS - 1);
        if (white - black < 64)
            return false;
        for (int c = 0; c < 16; c++)
            if (cell_value(p, at, r, c + 1) > (white + black) / 2)
                bytes[r * 2 + c / 8] |= (uint8_t)(0x80 >> c % 8);
    }
    if (crc8(bytes, 7) != bytes[7])
        return false;
    out->time_us = 0;
    for (int i = 0; i < 6; i++)
        out->time_us = out->time_us << 8 | bytes[i];
    out->frame = bytes[6];
    return true;
}

/* ---- the driver ---- */

static bool testcard_takes(const char *spec)
{
    return spec && !strncmp(spec, "test", 4) && (!spec[4] || spec[4] == ':');
}

/* A number of at most six digits; false when there is none. */
static bool take_number(const char **p, int *out)
{
    int n = 0, digits = 0;
    for (; isdigit((unsigned char)**p) && digits < 6; (*p)++, digits++)
        n = n * 10 + (**p - '0');
    *out = n;
    return digits > 0 && !isdigit((unsigned char)**p);
}

int testcard_parse(const char *spec, int *width, int *height, int *fps)
{
    const char *p = spec + 4;
    *width = 1920;
    *height = 1080;
    *fps = 30;
    bool ok = true;
    if (*p == ':') {
        p++;
        ok = *p != '\0';
        if (ok && *p != '@')
            ok = take_number(&p, width) && (*p == 'x' || *p == 'X') && (p++, take_number(&p, height));
        if (ok && *p == '@')
            ok = (p++, take_number(&p, fps));
        ok = ok && !*p;
    }
    if (!ok)
        return error_set(ERR_INVALID, "\"%s\" is not a test picture: write test:WxH@FPS, "
                                      "for example test:1280x720@60", spec);
    if (*width < TESTCARD_MIN_WIDTH || *width > TESTCARD_MAX || *height < TESTCARD_MIN_HEIGHT ||
        *height > TESTCARD_MAX)
        return error_set(ERR_INVALID, "the test picture \"%s\" must be from %dx%d to %dx%d pixels",
                         spec, TESTCARD_MIN_WIDTH, TESTCARD_MIN_HEIGHT, TESTCARD_MAX, TESTCARD_MAX);
    if (*fps < 1 || *fps > 240)
        return error_set(ERR_INVALID, "the test picture \"%s\" must have 1 to 240 pictures a second",
                         spec);
    return 0;
}

static struct layout layout_of(int w, int h)
{
    struct layout at = {.clock_y = h / 3 & ~1, .text_y = h * 3 / 5 & ~1, .lane_y = h * 3 / 4 & ~1};
    at.strip = testcard_strip_of(w, h);
    at.box = at.strip.y - at.lane_y;
    int band = at.text_y - at.clock_y;
    int s = band * 3 / 4 / GLYPH_H, widest = w / (GLYPH_W * CLOCK_LEN + 2);
    at.clock_scale = s > widest ? widest : s;
    int left = (band - at.clock_scale * GLYPH_H) / GLYPH_H;
    at.count_scale = left > at.clock_scale ? at.clock_scale : left;
    at.clock_x = (w - at.clock_scale * GLYPH_W * CLOCK_LEN) / 2;
    at.count_x = at.clock_x;
    at.count_y = at.clock_y + at.clock_scale * GLYPH_H;
    return at;
}

static void testcard_close(struct source *s)
{
    struct testcard *t = testcard_of(s);
    picture_pool_free(&t->pool);
    if (t->wake >= 0)
        close(t->wake);
    free(t);
}

static int testcard_open(struct source **out, const struct source_config *config)
{
    int width, height, fps;
    int rc = testcard_parse(config->spec, &width, &height, &fps);
    if (rc < 0)
        return rc;
    if (config->fps > 0 && fps > config->fps)
        fps = config->fps;
    struct testcard *t = calloc(1, sizeof *t);
    if (!t)
        return error_set(ERR_MEMORY, "not enough memory for the test picture");
    t->base.ops = &source_test;
    t->wake = wake_new();
    t->pool = picture_pool_new(BUFFERS);
    if (t->wake < 0 || !t->pool) {
        testcard_close(&t->base);
        return error_set(ERR_MEMORY, "not enough memory for the test picture");
    }
    t->width = width;
    t->height = height;
    t->fps = fps;
    t->at = layout_of(width, height);
    t->start_us = clock_now_us();
    t->shown_tick = -1;
    t->base.info = (struct source_info){
        .kind = SOURCE_PICTURES, .width = width, .height = height, .fps = fps};
    snprintf(t->base.info.text, sizeof t->base.info.text, "test picture, %dx%d at %d a second",
             width, height, fps);
    *out = &t->base;
    return 0;
}

/* The pictures that fell due while nobody looked are left out: the frame number jumps. */
static int64_t tick_now(const struct testcard *t)
{
    return (clock_now_us() - t->start_us) * t->fps / 1000000;
}

/* Rounded up, so that tick_now has counted it when the time has come. */
static int64_t tick_due_us(const struct testcard *t, int64_t tick)
{
    return t->start_us + (tick * 1000000 + t->fps - 1) / t->fps;
}

static int testcard_wait(struct source *s, int64_t timeout_us)
{
    struct testcard *t = testcard_of(s);
    int64_t deadline = timeout_us < 0 ? INT64_MAX : clock_now_us() + timeout_us;
    for (;;) {
        if (wake_clear(t->wake))
            return SOURCE_IDLE;
        int64_t now = clock_now_us(), due = tick_due_us(t, t->shown_tick + 1);
        if (now >= due)
            return SOURCE_CHANGED;
        if (now >= deadline)
            return SOURCE_IDLE;
        wake_wait(t->wake, -1, (due < deadline ? due : deadline) - now);
    }
}

static int testcard_read_picture(struct source *s, struct picture **out)
{
    struct testcard *t = testcard_of(s);
    struct picture *p = picture_pool_get(t->pool, PIX_BGRX, t->width, t->height);
    if (!p)
        return error_set(ERR_TIMEOUT, "every buffer of the test picture is in use");
    int64_t tick = tick_now(t);
    if (tick > t->shown_tick) {
        struct state now;
        state_at(t, &now, tick);
        if (t->shown_tick < 0)
            damage_set_all(&p->damage, t->width, t->height);
        else
            damage_between(t, &p->damage, &t->state, &now);
        t->state = now;
        t->shown_tick = tick;
    }
    draw_state(t, p, &t->state);
    p->event_us = t->state.time_us;
    p->capture_us = p->pts_us = clock_now_us();
    *out = p;
    return 0;
}

static void testcard_interrupt(struct source *s) { wake_signal(testcard_of(s)->wake); }

const struct source_ops source_test = {
    .name = "test",
    .takes = testcard_takes,
    .open = testcard_open,
    .wait = testcard_wait,
    .read = testcard_read_picture,
    .interrupt = testcard_interrupt,
    .close = testcard_close,
};

/* What glyphs says of where the picture before has a block: it is true, it is found where it must be,
 * and what can be asked for in place stays. */
#include "encode/screen/chroma.h"
#include "encode/screen/glyphs.h"
#include "rig.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <cmocka.h>

enum { WIDTH = 328, HEIGHT = 200, W8 = WIDTH / 8, H8 = HEIGHT / 8, BLOCKS = W8 * H8 };

struct table {
    struct geometry g;
    struct glyphs *gl;
    struct picture *src, *pic; /* own */
    struct frame src_at, pic_at;
    uint8_t dirty[BLOCKS], inexact[BLOCKS], todo[(W8 + 7) / 8 * ((H8 + 7) / 8)];
    block_match match[BLOCKS];
    struct mv vector;          /* of all that match; 0: none */
    bool in_place;
};

static struct frame frame_of(const struct picture *p)
{
    return (struct frame){{p->plane[0], p->plane[1], p->plane[2]},
                          {p->stride[0], p->stride[1], p->stride[2]}};
}

static void table_open(struct table *t, enum pix_fmt fmt)
{
    *t = (struct table){.g = {.fmt = fmt, .width = WIDTH, .height = HEIGHT, .cw = WIDTH, .ch = HEIGHT,
                              .w8 = W8, .h8 = H8, .ctb_cols = (W8 + 7) / 8, .ctb_rows = (H8 + 7) / 8,
                              .cshift = fmt == PIX_I420}};
    t->gl = glyphs_new(&t->g, kernels_best());
    t->src = picture_new(fmt, WIDTH, HEIGHT);
    t->pic = picture_new(fmt, WIDTH, HEIGHT);
    assert_true(t->gl && t->src && t->pic);
    t->src_at = frame_of(t->src);
    t->pic_at = frame_of(t->pic);
}

static void table_close(struct table *t)
{
    glyphs_free(&t->gl);
    picture_unref(&t->src);
    picture_unref(&t->pic);
}

static int row_bytes(const struct table *t, int plane)
{
    return picture_row_bytes(t->g.fmt, WIDTH, plane);
}

/* dst at r becomes what src has at (x, y); even numbers. */
static void copy(const struct table *t, struct picture *dst, struct rect r, const struct picture *src,
                 int x, int y)
{
    for (int i = 0; i < 3; i++) {
        int s = i ? t->g.cshift : 0;
        for (int j = 0; j < r.h >> s; j++)
            memmove(dst->plane[i] + (ptrdiff_t)((r.y >> s) + j) * dst->stride[i] + (r.x >> s),
                    src->plane[i] + (ptrdiff_t)((y >> s) + j) * src->stride[i] + (x >> s),
                    (size_t)(r.w >> s));
    }
}

/* The block of `pic` is what `src` has by this vector, in one plane. */
static bool same_in(const struct table *t, int plane, int bx, int by, struct mv mv)
{
    int s = plane ? t->g.cshift : 0, n = 8 >> s, dx = (mv.x >> 2) >> s, dy = (mv.y >> 2) >> s;
    if (bx * n + dx < 0 || by * n + dy < 0 || bx * n + dx + n > row_bytes(t, plane) ||
        by * n + dy + n > HEIGHT >> s)
        return false;
    return t->gl && kernels_plain.equal(frame_at(&t->pic_at, plane, bx * n, by * n),
                                        t->pic_at.stride[plane],
                                        frame_at(&t->src_at, plane, bx * n + dx, by * n + dy),
                                        t->src_at.stride[plane], n, n);
}

static void make_dirty(struct table *t)
{
    memset(t->todo, 0, sizeof t->todo);
    for (int by = 0; by < H8; by++)
        for (int bx = 0; bx < W8; bx++) {
            bool same = true;
            for (int i = 0; i < 3; i++)
                same &= same_in(t, i, bx, by, (struct mv){0});
            t->dirty[by * W8 + bx] = !same;
            t->match[by * W8 + bx] = same ? MATCH_KEEP : 0;
            t->todo[by / 8 * t->g.ctb_cols + bx / 8] |= !same;
        }
}

static void check_found(const struct table *t, int bx, int by, struct mv mv)
{
    int at = by * W8 + bx;
    bool half = chroma_is_half(&t->g, mv);
    assert_true(t->dirty[at] && !t->match[at] && !mv.ref);
    for (int i = 0; i < 3; i++)
        if (i == 0 || !half)
            assert_true(same_in(t, i, bx, by, mv));
    int x = bx * 8 + (mv.x >> 2), y = by * 8 + (mv.y >> 2);
    for (int j = y >> 3; j <= (y + 7) >> 3; j++)
        for (int i = x >> 3; i <= (x + 7) >> 3 && t->in_place; i++)
            assert_false(t->dirty[j * W8 + i]);
}

/* Looks for all that is new, and checks that what is said is so. */
static int find(struct table *t)
{
    struct glyphs_job job = {.pic = &t->pic_at, .src = &t->src_at, .rec = &t->src_at,
                             .inexact = t->inexact, .dirty = t->dirty, .todo = t->todo,
                             .match = t->match, .vectors = &t->vector,
                             .n_vectors = t->vector.x || t->vector.y, .in_place = t->in_place};
    int said = glyphs_find(t->gl, &job), count = 0;
    for (int by = 0; by < H8; by++)
        for (int bx = 0; bx < W8; bx++) {
            struct mv mv = glyphs_found(t->gl)[by * W8 + bx];
            if (mv.ref == MV_NONE_REF)
                continue;
            check_found(t, bx, by, mv);
            count++;
        }
    assert_int_equal(said, count);
    return count;
}

/* The new picture is the last one. */
static void go_on(struct table *t)
{
    copy(t, t->src, (struct rect){0, 0, WIDTH, HEIGHT}, t->pic, 0, 0);
}

static void begin(struct table *t, enum paint kind)
{
    struct rect all = {0, 0, WIDTH, HEIGHT};
    paint(t->src, all, kind);
    copy(t, t->pic, all, t->src, 0, 0);
    glyphs_learn(t->gl, &t->src_at, BLOCKS);
    memset(&t->vector, 0, sizeof t->vector);
}

/* What is copied from anywhere to anywhere is found; in place where it stays. All of it where nothing
 * else is like it: of letters that are everywhere the table knows some places alone, and those may be
 * at odd distances that suit no colour. */
static void test_finds(void **state)
{
    (void)state;
    rng_seed(11);
    struct table t;
    for (int round = 0; round < 60; round++) {
        table_open(&t, round & 1 ? PIX_I444 : PIX_I420);
        bool noise = round % 3 != 0;
        begin(&t, noise ? PAINT_NOISE : PAINT_GLYPHS);
        t.in_place = round & 2;
        struct rect to = {8 * (int)rng(12), 8 * (int)rng(10), 64, 48};
        copy(&t, t.pic, to, t.src, 160 + 2 * (int)rng(50), 2 * (int)rng(70));
        make_dirty(&t);
        int dirty = 0;
        for (int i = 0; i < BLOCKS; i++)
            dirty += t.dirty[i];
        assert_true(dirty > 0);
        int found = find(&t);
        assert_true(noise ? found == dirty : found > dirty * 3 / 4);
        table_close(&t);
    }
}

/* Of noise nothing; of other letters some. */
static void test_only_what_is_there(void **state)
{
    (void)state;
    rng_seed(12);
    struct table t;
    int found = 0;
    for (int round = 0; round < 60; round++) {
        table_open(&t, round & 1 ? PIX_I444 : PIX_I420);
        begin(&t, PAINT_GLYPHS);
        t.in_place = rng(2);
        paint(t.pic, random_rect(t.pic), round & 2 ? PAINT_NOISE : PAINT_GLYPHS);
        make_dirty(&t);
        int n = find(&t);
        found += n;
        if (round & 2)
            assert_true(n < 60); /* at its edges there are letters still */
        table_close(&t);
    }
    assert_true(found > 100);
}

/* The picture moves, again and again: what the table knows moves along, though it learns little. */
static void test_follows(void **state)
{
    (void)state;
    rng_seed(13);
    struct table t;
    table_open(&t, PIX_I420);
    begin(&t, PAINT_NOISE);
    for (int round = 0; round < 6; round++) {
        int step = 2 + 2 * (int)rng(8);
        struct rect rest = {0, 0, WIDTH, HEIGHT - step};
        copy(&t, t.pic, rest, t.src, 0, step);
        /* The new lines are what stands elsewhere in the picture before. */
        copy(&t, t.pic, (struct rect){0, HEIGHT - step, WIDTH - 40, step}, t.src, 40, 30);
        make_dirty(&t);
        t.vector = (struct mv){0, (int16_t)(4 * step), 0};
        int asked = 0;
        for (int i = 0; i < BLOCKS; i++)
            if (t.dirty[i] && same_in(&t, 0, i % W8, i / W8, t.vector))
                t.match[i] = 2;
        for (int i = 0; i < BLOCKS; i++)
            asked += t.dirty[i] && !t.match[i] && i / W8 * 8 >= HEIGHT - step && i % W8 < W8 - 5;
        assert_true(find(&t) >= asked);
        go_on(&t);
    }
    table_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds),
        cmocka_unit_test(test_only_what_is_there),
        cmocka_unit_test(test_follows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

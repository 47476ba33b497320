/* The screen encoder, driven by a program of bytes: pictures are painted, copied within
 * themselves and coded, with any budget and QP, with damage that is true, too large or too small,
 * with acknowledgements and losses that may name anything, and with a reset in between. What it
 * gives must decode to what it says it does. */
#include "fuzz.h"

#include "avdecode.h"
#include "encode/screen/screen.h"

#include <string.h>

enum { MOST_STEPS = 40 };

struct input {
    const uint8_t *data;
    size_t len;
};

static unsigned byte(struct input *in)
{
    if (!in->len)
        return 0;
    in->len--;
    return *in->data++;
}

struct rig {
    struct encoder *e;
    struct avdecode *d;
    struct picture *pic;
    uint64_t id;
};

static struct rect area(struct input *in, const struct picture *p)
{
    struct rect r = {(int)(byte(in) * (unsigned)p->width / 256),
                     (int)(byte(in) * (unsigned)p->height / 256), 1 + (int)byte(in),
                     1 + (int)byte(in)};
    if (p->fmt == PIX_I420) {
        r.x &= ~1;
        r.y &= ~1;
    }
    return rect_intersect(r, (struct rect){0, 0, p->width, p->height});
}

/* Flat, striped, or noise; in all planes. */
static void paint(struct input *in, struct picture *p, struct rect r)
{
    unsigned kind = byte(in) % 3, a = byte(in), b = byte(in), seed = a * 257 + b;
    for (int i = 0; i < 3; i++) {
        int s = i && p->fmt == PIX_I420;
        for (int y = r.y >> s; y < (r.y + r.h + s) >> s; y++)
            for (int x = r.x >> s; x < (r.x + r.w + s) >> s; x++) {
                seed = seed * 1103515245u + 12345u;
                unsigned v = kind == 0 ? a : kind == 1 ? ((x ^ y) & 2 ? a : b) : seed >> 20;
                p->plane[i][(ptrdiff_t)y * p->stride[i] + x] = (uint8_t)v;
            }
    }
}

/* Rows of the rectangle move up: a scroll. */
static void scroll(struct picture *p, struct rect r, int by)
{
    for (int i = 0; i < 3; i++) {
        int s = i && p->fmt == PIX_I420;
        int x = r.x >> s, w = ((r.x + r.w) >> s) - x, y1 = (r.y + r.h) >> s, d = by >> s;
        for (int y = r.y >> s; y + d < y1; y++)
            memmove(p->plane[i] + (ptrdiff_t)y * p->stride[i] + x,
                    p->plane[i] + (ptrdiff_t)(y + d) * p->stride[i] + x, (size_t)w);
    }
}

static void check_decodes(struct rig *r, const struct access_unit *au)
{
    struct picture *got = avdecode_run(r->d, au), *want = screen_reconstruction(r->e);
    FUZZ_CHECK(got && got->width <= want->width && got->height <= want->height);
    for (int i = 0; i < 3; i++) {
        int s = i && got->fmt == PIX_I420;
        for (int y = 0; y < (got->height + s) >> s; y++)
            FUZZ_CHECK(!memcmp(got->plane[i] + (ptrdiff_t)y * got->stride[i],
                               want->plane[i] + (ptrdiff_t)y * want->stride[i],
                               (size_t)((got->width + s) >> s)));
    }
    picture_unref(&got);
}

static void encode(struct rig *r, struct input *in, bool refine)
{
    unsigned how = byte(in);
    struct damage none = {0};
    struct encode_in to = {.pic = r->pic, .damage = refine ? &none : &r->pic->damage,
                           .pic_id = ++r->id, .budget_bytes = byte(in) * byte(in) * 4,
                           .key_wanted = how % 8 == 7, .refine = refine};
    struct encode_out out;
    damage_clip(&r->pic->damage, r->pic->width, r->pic->height, 2);
    if (encoder_screen.encode(r->e, &to, &out))
        abort(); /* no input that keeps to the header's rules is an error */
    if (out.au)
        check_decodes(r, out.au);
    access_unit_unref(&out.au);
    if (!refine)
        damage_clear(&r->pic->damage);
}

static bool open_rig(struct rig *r, struct input *in)
{
    enum pix_fmt fmt = byte(in) & 1 ? PIX_I444 : PIX_I420;
    struct encoder_config c = {.width = 16 + (int)(byte(in) % 150),
                               .height = 16 + (int)(byte(in) % 150),
                               .fmt = fmt, .fps = 30, .bitrate_bps = 8000000,
                               .max_level_idc = (int)byte(in)};
    picture_unref(&r->pic);
    encoder_close(&r->e);
    avdecode_free(&r->d);
    r->pic = picture_new(fmt, c.width, c.height);
    r->d = avdecode_new();
    if (!r->pic || !r->d || encoder_open(&r->e, &encoder_screen, &c))
        return false;
    for (int i = 0; i < 3; i++) {
        int s = i && fmt == PIX_I420;
        memset(r->pic->plane[i], 128, (size_t)r->pic->stride[i] * ((c.height + s) >> s));
    }
    damage_set_all(&r->pic->damage, c.width, c.height);
    return true;
}

static bool step(struct rig *r, struct input *in)
{
    unsigned op = byte(in) % 10;
    struct rect a;
    switch (op) {
    case 0: /* a change that is told of */
    case 1: /* and one that is not */
        a = area(in, r->pic);
        paint(in, r->pic, a);
        if (op == 0)
            damage_add(&r->pic->damage, a);
        break;
    case 2:
        a = area(in, r->pic);
        scroll(r->pic, a, 2 * (int)(byte(in) % 32));
        damage_add(&r->pic->damage, a);
        break;
    case 3: /* nothing changed there */
        damage_add(&r->pic->damage, area(in, r->pic));
        break;
    case 4:
    case 5:
    case 6: encode(r, in, false); break;
    case 7: encode(r, in, true); break;
    case 8:
        if (byte(in) & 1)
            encoder_screen.acked(r->e, r->id - byte(in) % 20);
        else
            (void)encoder_screen.lost(r->e, r->id - byte(in) % 20);
        break;
    default: return byte(in) % 8 || open_rig(r, in);
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct rig r = {0};
    if (open_rig(&r, &in)) {
        encode(&r, &in, false);
        for (int i = 0; i < MOST_STEPS && in.len && step(&r, &in); i++)
            ;
    }
    encoder_close(&r.e);
    avdecode_free(&r.d);
    picture_unref(&r.pic);
    return 0;
}

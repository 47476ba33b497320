/* Access units out of a byte stream. An access unit is given as soon as the first bytes of the
 * next one are seen. */
#include "hevc/nal.h"

#include "hevc/bits.h"

#include <stdlib.h>
#include <string.h>

struct au_splitter {
    size_t max_bytes;
    int64_t dropped;

    /* Bytes that were not taken apart: raw[first] to raw[end]. When `in_nal`, raw[first] is the
     * byte after a start code; scan (from first) is where the search for the next one goes on. */
    uint8_t *raw; /* owns */
    size_t first, end, raw_cap, scan;
    bool in_nal;
    bool judged; /* the NAL unit in raw was looked at: it belongs to `cur` */

    struct access_unit *cur; /* owns; being built, NULL: none */
    bool cur_has_vcl;
    bool dropping; /* cur was too large: nothing more until the next access unit */
    bool lost;     /* marks the next access unit after_loss */

    struct access_unit **ready; /* owns; a ring of ready_cap, a power of two */
    size_t ready_cap, ready_first, ready_n;
};

struct au_splitter *au_splitter_new(size_t max_bytes)
{
    struct au_splitter *s = calloc(1, sizeof *s);
    if (s)
        s->max_bytes = max_bytes;
    return s;
}

void au_splitter_free(struct au_splitter **ps)
{
    struct au_splitter *s = *ps;
    *ps = NULL;
    if (!s)
        return;
    struct access_unit *au;
    while ((au = au_splitter_pop(s)))
        access_unit_unref(&au);
    access_unit_unref(&s->cur);
    free(s->ready);
    free(s->raw);
    free(s);
}

int64_t au_splitter_dropped(const struct au_splitter *s) { return s->dropped; }

struct access_unit *au_splitter_pop(struct au_splitter *s)
{
    if (s->ready_n == 0)
        return NULL;
    struct access_unit *au = s->ready[s->ready_first];
    s->ready_first = (s->ready_first + 1) & (s->ready_cap - 1);
    s->ready_n--;
    return au;
}

static bool ready_push(struct au_splitter *s, struct access_unit *au /* takes on success */)
{
    if (s->ready_n == s->ready_cap) {
        size_t cap = s->ready_cap ? 2 * s->ready_cap : 16;
        struct access_unit **ring = malloc(cap * sizeof *ring);
        if (!ring)
            return false;
        for (size_t i = 0; i < s->ready_n; i++)
            ring[i] = s->ready[(s->ready_first + i) & (s->ready_cap - 1)];
        free(s->ready);
        s->ready = ring;
        s->ready_cap = cap;
        s->ready_first = 0;
    }
    s->ready[(s->ready_first + s->ready_n++) & (s->ready_cap - 1)] = au;
    return true;
}

static void drop_current(struct au_splitter *s)
{
    access_unit_unref(&s->cur);
    s->dropped++;
    s->dropping = s->lost = true;
}

/* The access unit in cur is whole. */
static bool finish_au(struct au_splitter *s)
{
    bool ok = true;
    if (s->cur && s->cur_has_vcl) {
        s->cur->after_loss = s->lost;
        s->lost = false;
        ok = ready_push(s, s->cur);
        if (!ok)
            drop_current(s);
    } else {
        access_unit_unref(&s->cur); /* parameter sets without a picture, at the end of the stream */
    }
    s->cur = NULL;
    s->cur_has_vcl = false;
    s->dropping = false;
    return ok;
}

/* 7.4.2.4.5: the first of these after the last VCL NAL unit of a picture begins a new access
 * unit. n has its third byte. */
static bool begins_au(const struct nal *n)
{
    int type = nal_type(n);
    if (nal_layer(n) != 0)
        return false;
    if (nal_is_vcl(type))
        return n->data[2] & 0x80; /* first_slice_segment_in_pic_flag */
    return (type >= NAL_VPS && type <= NAL_AUD) || type == NAL_SEI_PREFIX ||
           (type >= 41 && type <= 44) || (type >= 48 && type <= 55);
}

/* Looks at the first bytes of the NAL unit in raw; it may show that cur is whole. */
static bool judge(struct au_splitter *s, size_t nal_len)
{
    struct nal n = {s->raw + s->first, nal_len};
    s->judged = true;
    if (s->cur_has_vcl && begins_au(&n) && !finish_au(s))
        return false;
    if (nal_is_vcl(nal_type(&n)))
        s->cur_has_vcl = true;
    return true;
}

static bool append(struct au_splitter *s, const uint8_t *nal, size_t len)
{
    if (s->dropping)
        return true;
    if ((s->cur ? s->cur->len : 0) + len + 4 > s->max_bytes) {
        drop_current(s);
        return true;
    }
    if (!s->cur && !(s->cur = access_unit_new(len + 4)))
        return false;
    return au_append_nal(s->cur, nal, len);
}

/* The first nal_len bytes of raw are one NAL unit with trailing zeros; it goes into cur. */
static bool finish_nal(struct au_splitter *s, size_t nal_len)
{
    while (nal_len > 0 && s->raw[s->first + nal_len - 1] == 0)
        nal_len--;
    /* Shorter than header and one byte of payload: EOS and EOB are, and they end cur anyway. */
    if (nal_len < 3)
        return true;
    if (!s->judged && !judge(s, nal_len))
        return false;
    return append(s, s->raw + s->first, nal_len);
}

static size_t raw_len(const struct au_splitter *s) { return s->end - s->first; }

static void consume(struct au_splitter *s, size_t n)
{
    s->first += n;
    s->scan = 0;
}

/* No start code is left in raw: what can be said and forgotten already? */
static bool look_at_rest(struct au_splitter *s)
{
    size_t len = raw_len(s);
    const uint8_t *p = s->raw + s->first;
    if (s->in_nal && !s->judged && len >= 3 && (p[0] | p[1] | p[2]) == 0)
        s->in_nal = false; /* an empty NAL unit and zero padding */
    if (s->in_nal && !s->judged && len >= 3 && !judge(s, len))
        return false;
    if (s->in_nal && s->judged && len >= 3 && (p[len - 1] | p[len - 2] | p[len - 3]) == 0) {
        /* 00 00 00 is in no NAL unit (7.4.2): this one is over, zero padding follows. */
        if (!finish_nal(s, len))
            return false;
        s->in_nal = false;
    }
    bool oversized = s->in_nal && len > s->max_bytes;
    if (oversized && !s->dropping)
        drop_current(s);
    /* The last two bytes may begin a start code. */
    if (!s->in_nal || oversized)
        consume(s, len > 2 ? len - 2 : 0);
    else
        s->scan = len > 2 ? len - 2 : 0;
    return true;
}

static bool take_apart(struct au_splitter *s)
{
    size_t at;
    while ((at = annexb_find_start_code(s->raw + s->first, raw_len(s), s->scan)) < raw_len(s)) {
        if (s->in_nal && !finish_nal(s, at))
            return false;
        consume(s, at + 3);
        s->in_nal = true;
        s->judged = false;
    }
    return look_at_rest(s);
}

static bool make_room(struct au_splitter *s, size_t n)
{
    if (s->first > 0) {
        memmove(s->raw, s->raw + s->first, raw_len(s));
        s->end -= s->first;
        s->first = 0;
    }
    if (s->end + n <= s->raw_cap)
        return true;
    size_t cap = 2 * s->raw_cap > s->end + n ? 2 * s->raw_cap : s->end + n;
    uint8_t *raw = realloc(s->raw, cap);
    if (!raw)
        return false;
    s->raw = raw;
    s->raw_cap = cap;
    return true;
}

bool au_splitter_push(struct au_splitter *s, const uint8_t *data, size_t len)
{
    while (len > 0) {
        /* In pieces, so that raw stays small and moving its rest stays cheap. */
        size_t n = len < 65536 ? len : 65536;
        if (!make_room(s, n))
            return false;
        memcpy(s->raw + s->end, data, n);
        s->end += n;
        data += n;
        len -= n;
        if (!take_apart(s))
            return false;
    }
    return true;
}

void au_splitter_end(struct au_splitter *s)
{
    if (s->in_nal)
        finish_nal(s, raw_len(s));
    s->first = s->end = s->scan = 0;
    s->in_nal = s->judged = false;
    finish_au(s);
}

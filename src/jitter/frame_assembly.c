#include "jitter/frame_assembly.h"

#include "base/bytes.h"

#include <string.h>

enum { NAL_RASL_N = 8 };

bool frame_assembly_init(struct frame_assembly *a)
{
    memset(a, 0, sizeof *a);
    a->need_key = a->gap = true;
    playout_init(&a->playout, 0, 0);
    a->sets = param_sets_new();
    a->refs = refs_new();
    if (!a->sets || !a->refs) {
        param_sets_free(&a->sets);
        refs_free(&a->refs);
        return false;
    }
    return true;
}

void frame_assembly_clear(struct frame_assembly *a)
{
    struct access_unit *au;
    while ((au = frame_assembly_pop(a)))
        access_unit_unref(&au);
    access_unit_unref(&a->au);
    param_sets_free(&a->sets);
    refs_free(&a->refs);
}

struct access_unit *frame_assembly_pop(struct frame_assembly *a)
{
    if (a->ready_n == 0)
        return NULL;
    struct access_unit *au = a->ready[a->ready_first];
    a->ready_first = (a->ready_first + 1) % ASSEMBLY_MAX_READY;
    a->ready_n--;
    a->ready_bytes -= au->len;
    return au;
}

static void need_key(struct frame_assembly *a) { a->need_key = a->lost = true; }

static void break_open(struct frame_assembly *a)
{
    access_unit_unref(&a->au);
    a->broken = true;
    need_key(a);
}

void frame_assembly_gap(struct frame_assembly *a)
{
    if (a->open && !a->broken)
        break_open(a);
    a->gap = true;
    need_key(a);
}

static void close_open(struct frame_assembly *a)
{
    a->dropped += a->open;
    access_unit_unref(&a->au);
    a->open = a->broken = false;
}

void frame_assembly_restart(struct frame_assembly *a)
{
    close_open(a);
    frame_assembly_gap(a);
    refs_reset(a->refs);
    a->any_ts = a->markers = false;
}

void frame_assembly_skip_to_key(struct frame_assembly *a)
{
    close_open(a);
    a->gap = true;
}

bool frame_assembly_could_resume(const struct frame_assembly *a, const struct media_packet *p)
{
    uint8_t nal[REFS_HEADER_BYTES];
    size_t len = h265_payload_first_nal(p->payload, p->len, nal, sizeof nal);
    return len > 0 && refs_could_resume(a->refs, nal, len);
}

void frame_assembly_resume(struct frame_assembly *a)
{
    close_open(a);
    a->gap = a->lost = true;
}

/* Nothing of what was given can be referred to any more. */
static void forget_all(struct frame_assembly *a)
{
    refs_reset(a->refs);
    need_key(a);
}

void frame_assembly_request_key(struct frame_assembly *a)
{
    /* An IRAP that waits already will do. */
    while (a->ready_n > 0 && !a->ready[a->ready_first]->irap) {
        struct access_unit *au = frame_assembly_pop(a);
        access_unit_unref(&au);
        a->dropped++;
    }
    if (a->ready_n > 0)
        a->ready[a->ready_first]->after_loss = true;
    else
        forget_all(a);
}

static int64_t unwrap_ts(struct frame_assembly *a, uint32_t ts)
{
    if (a->any_ts)
        a->unwrapped_ts += (int32_t)(ts - a->last_ts);
    else
        a->unwrapped_ts = ts;
    a->any_ts = true;
    a->last_ts = ts;
    return a->unwrapped_ts;
}

/* A reader that does not pop must not grow us: all that waits is dropped, and a key asked for. */
static void make_room(struct frame_assembly *a, size_t len)
{
    struct access_unit *au;
    if (a->ready_n < ASSEMBLY_MAX_READY &&
        (a->ready_n == 0 || a->ready_bytes + len <= ASSEMBLY_MAX_READY_BYTES))
        return;
    while ((au = frame_assembly_pop(a))) {
        access_unit_unref(&au);
        a->dropped++;
    }
    forget_all(a);
}

/* May the finished access unit be given? Its references are there, or it needs none. */
static bool decodable(struct frame_assembly *a)
{
    int type = a->depack.first_vcl_type;
    enum refs_verdict verdict = refs_check(a->refs, a->au, NULL);
    if (a->depack.has_irap && a->au->irap) {
        /* 8.1.3: RASL pictures of an IRAP at which decoding starts have no references. */
        a->skip_rasl = a->need_key;
        a->need_key = false;
        return true;
    }
    if (a->depack.has_irap) /* its parameter sets are unknown */
        need_key(a);
    if (refs_resumable(a->refs)) {
        /* It tells for sure, so a loss ends with the first picture that does without it. */
        if (verdict == REFS_MISSING && !a->need_key) {
            need_key(a);
        } else if (verdict == REFS_WHOLE) {
            a->resumed += a->lost;
            a->need_key = false;
        }
    }
    if (a->need_key)
        return false;
    if (a->skip_rasl && (type == NAL_RASL_N || type == NAL_RASL_R))
        return false;
    return true;
}

static void give(struct frame_assembly *a, int64_t now_us)
{
    struct access_unit *au = a->au;
    a->usual_len = (3 * a->usual_len + au->len) / 4;
    au->rtp_ts = a->ts;
    au->pts_us = unwrap_ts(a, a->ts) * 100 / 9;
    au->complete_us = now_us;
    a->timing.pts_us = au->pts_us;
    au->show_us = playout_add(&a->playout, &a->timing, now_us);
    au->after_loss = a->lost;
    a->lost = false;
    a->ready[(a->ready_first + a->ready_n++) % ASSEMBLY_MAX_READY] = au;
    a->ready_bytes += au->len;
    a->au = NULL;
    a->open = false;
    a->given++;
}

static void finish(struct frame_assembly *a, bool by_marker, int64_t now_us)
{
    /* Cut off: its end was purged at the sender, whose sequence numbers go on without a gap. */
    bool cut = !by_marker && a->markers;
    if (!a->broken && (cut || !h265_depack_whole(&a->depack)))
        break_open(a);
    if (a->broken) {
        close_open(a);
        return;
    }
    if (a->depack.has_irap || a->depack.has_param_sets) {
        if (!param_sets_complete(a->sets, a->au)) {
            break_open(a);
            close_open(a);
            return;
        }
    }
    if (!a->depack.has_vcl) { /* parameter sets or SEI alone: learned, nothing to decode */
        access_unit_unref(&a->au);
        a->open = false;
        return;
    }
    make_room(a, a->au->len);
    if (decodable(a))
        give(a, now_us);
    else
        close_open(a);
}

static void begin(struct frame_assembly *a, const struct media_packet *p)
{
    a->open = true;
    a->ts = p->ts;
    h265_depack_start(&a->depack);
    /* After a gap it may lack its first packets, but not when it begins as an IRAP does. */
    a->broken = a->gap && !p->key_start && !frame_assembly_could_resume(a, p);
    a->gap = false;
    if (a->broken)
        return;
    a->au = access_unit_new(a->usual_len + a->usual_len / 2 + 2048);
    if (!a->au) {
        break_open(a);
        return;
    }
    a->au->first_packet_us = p->arrival_us;
    a->timing = (struct playout_picture){.arrival_us = p->arrival_us};
}

static void note_times(struct frame_assembly *a, const struct media_packet *p)
{
    struct playout_picture *t = &a->timing;
    if (p->arrival_us < a->au->first_packet_us)
        a->au->first_packet_us = p->arrival_us;
    if (p->capture_ntp)
        a->au->capture_ntp = p->capture_ntp;
    t->arrival_us = p->arrival_us > t->arrival_us ? p->arrival_us : t->arrival_us;
    t->repaired |= p->origin != PACKET_SENT;
    t->has_send_time = p->has_send_time;
    t->send_time = p->send_time;
}

void frame_assembly_packet(struct frame_assembly *a, const struct media_packet *p, int64_t now_us)
{
    if (p->len == 0) /* padding or a probe: of no access unit */
        return;
    if (a->open && p->ts != a->ts)
        finish(a, false, now_us);
    if (!a->open)
        begin(a, p);
    a->gap = false; /* what follows is known to follow */
    if (!a->broken) {
        enum h265_depack_result r = h265_depack_add(&a->depack, a->au, p->payload, p->len);
        a->malformed += r == H265_DEPACK_MALFORMED || r == H265_DEPACK_IGNORED;
        if (r == H265_DEPACK_MALFORMED || r == H265_DEPACK_NO_MEMORY ||
            a->au->len > ASSEMBLY_MAX_AU)
            break_open(a);
    }
    if (!a->broken)
        note_times(a, p);
    if (p->marker) {
        a->markers = true;
        finish(a, true, now_us);
    }
}

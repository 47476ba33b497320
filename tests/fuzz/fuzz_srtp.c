/* What a peer, or one in between, sends as SRTP and SRTCP with AES-GCM: packets of an honest sender in any order,
 * again, and changed, and any bytes. Accepted is exactly what is authentic, new and not too old. */
#include "fuzz.h"

#include "base/bytes.h"
#include "transport/srtp.h"
#include "transport/srtp_index.h"

enum { KEPT = 64, LEN = 40, ROOM = LEN + SRTP_MAX_OVERHEAD };

struct kept {
    uint8_t data[ROOM];
    int len;
    uint64_t index;
    bool came;
};
struct side {
    struct kept kept[KEPT];
    int count;
    uint64_t next, newest; /* newest: of those that came */
    bool any;
};
struct world {
    struct srtp_link *from, *to;
    struct side rtp, rtcp;
};

static int open_packet(struct world *w, bool rtcp, const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len + 1); /* exactly, but for an empty one */
    if (!copy)
        abort();
    if (len)
        memcpy(copy, data, len);
    int n = rtcp ? srtp_link_unprotect_rtcp(w->to, copy, len)
                 : srtp_link_unprotect_rtp(w->to, copy, len);
    FUZZ_CHECK(n < (int)len);
    free(copy);
    return n;
}

static void seal(struct world *w, bool rtcp, uint32_t step)
{
    struct side *s = rtcp ? &w->rtcp : &w->rtp;
    struct kept *k = &s->kept[s->count % KEPT];
    s->next += rtcp ? 1 : 1 + step * step; /* up to half a lap */
    memset(k, 0, sizeof *k);
    k->index = s->next;
    k->data[0] = 0x80;
    k->data[1] = rtcp ? 200 : 96;
    if (!rtcp)
        wr_be16(k->data + 2, (uint16_t)k->index);
    wr_be32(k->data + (rtcp ? 4 : 8), 77);
    k->len = rtcp ? srtp_link_protect_rtcp(w->from, k->data, LEN)
                  : srtp_link_protect_rtp(w->from, k->data, LEN);
    FUZZ_CHECK(k->len > LEN && k->len <= ROOM);
    s->count++;
}

static void deliver(struct world *w, bool rtcp, uint8_t which, uint8_t at, uint8_t change)
{
    struct side *s = rtcp ? &w->rtcp : &w->rtp;
    int kept = s->count < KEPT ? s->count : KEPT;
    if (kept == 0)
        return;
    struct kept *k = &s->kept[which % kept];
    uint8_t changed[ROOM];
    memcpy(changed, k->data, (size_t)k->len);
    changed[at % k->len] ^= change;
    int n = open_packet(w, rtcp, changed, (size_t)k->len);
    if (change) {
        FUZZ_CHECK(n < 0);
        return;
    }
    uint64_t newest = s->any ? s->newest : 0;
    uint64_t guess = rtcp ? k->index : s->any ? srtp_index_guess(newest, (uint16_t)k->index)
                                              : (uint16_t)k->index;
    bool good = guess == k->index && !k->came && (!s->any || k->index + SRTP_WINDOW > newest);
    FUZZ_CHECK(good == (n == LEN));
    if (!good)
        return;
    k->came = true;
    s->any = true;
    s->newest = k->index > newest ? k->index : newest;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct srtp_keys keys = {.suite = SRTP_SUITE_GCM_128};
    static struct world w;
    memset(&w, 0, sizeof w);
    if (srtp_link_new(&w.from, &keys) || srtp_link_new(&w.to, &keys))
        abort();
    struct byte_reader r = byte_reader_of(data, size);
    for (int i = 0; i < 4000 && r.left > 0; i++) {
        uint8_t what = br_u8(&r), a = br_u8(&r);
        bool rtcp = what & 0x80;
        switch (what & 3) {
        case 0:
            seal(&w, rtcp, a < 181 ? a : 180);
            break;
        case 1:
            deliver(&w, rtcp, a, 0, 0);
            break;
        case 2: {
            uint8_t at = br_u8(&r), change = br_u8(&r);
            deliver(&w, rtcp, a, at, change);
            break;
        }
        case 3: {
            const uint8_t *raw = br_take(&r, a);
            if (raw)
                FUZZ_CHECK(open_packet(&w, rtcp, raw, a) < 0);
            break;
        }
        }
    }
    srtp_link_free(&w.from);
    srtp_link_free(&w.to);
    return 0;
}

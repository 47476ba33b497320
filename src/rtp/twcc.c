#include "rtp/twcc.h"

enum {
    TICK_US = 250,
    REFERENCE_TICKS = 256, /* 64 ms */
    MIN_INTERVAL_US = 50000, MAX_INTERVAL_US = 250000, DEFAULT_INTERVAL_US = 100000,
    FIRST_WAIT_US = 10000,  /* after a pause: time for the packets of one burst */
    FEEDBACK_BITS = 68 * 8, /* an average feedback packet with what carries it */
    SHARE = 20,             /* of the incoming rate: 5 % */
    MANY = 256,             /* packets: told of at once */
    HEADER = 20,
    MAX_STATUSES = 1024,    /* of one feedback packet */
    MAX_RUN = 8191,
};
enum { SYMBOL_LOST, SYMBOL_SMALL, SYMBOL_LARGE, SYMBOL_NO_TIME };

void twcc_recorder_init(struct twcc_recorder *r)
{
    memset(r, 0, sizeof *r);
    r->first_us = INT64_MAX;
    r->last_us = INT64_MIN;
    r->interval_us = DEFAULT_INTERVAL_US;
}

static int64_t *slot(struct twcc_recorder *r, int64_t seq)
{
    return &r->arrival_us[seq & (TWCC_WINDOW - 1)];
}

static void begin_at(struct twcc_recorder *r, int64_t seq)
{
    for (int i = 0; i < TWCC_WINDOW; i++)
        r->arrival_us[i] = -1;
    r->base = r->highest = seq;
    r->waiting = 0;
}

void twcc_record(struct twcc_recorder *r, uint16_t seq, size_t bytes, int64_t now_us)
{
    int64_t s = r->started ? r->highest + (int16_t)(seq - (uint16_t)r->highest) : 65536 + seq;
    if (!r->started || s - r->highest >= TWCC_WINDOW) {
        begin_at(r, s);
        r->started = true;
    } else if (s <= r->highest - TWCC_WINDOW) {
        return;
    }
    for (; r->highest < s; r->highest++)
        *slot(r, r->highest + 1) = -1;
    if (r->base <= r->highest - TWCC_WINDOW)
        r->base = r->highest - TWCC_WINDOW + 1;
    if (*slot(r, s) >= 0) /* a duplicate: the first one counts */
        return;
    *slot(r, s) = now_us;
    r->base = s < r->base ? s : r->base;
    r->first_us = r->waiting == 0 ? now_us : r->first_us;
    r->waiting++;
    r->bytes += (int64_t)bytes;
}

int64_t twcc_due_us(const struct twcc_recorder *r)
{
    if (!r->started || r->base > r->highest)
        return INT64_MAX;
    if (r->waiting >= MANY || r->waiting == 0) /* 0: the rest of a range that did not fit */
        return INT64_MIN;
    int64_t due = r->first_us + FIRST_WAIT_US;
    if (r->last_us != INT64_MIN && r->last_us + r->interval_us > due)
        due = r->last_us + r->interval_us;
    return due;
}

static void next_interval(struct twcc_recorder *r, int64_t now_us)
{
    int64_t elapsed = r->last_us == INT64_MIN ? DEFAULT_INTERVAL_US : now_us - r->last_us;
    if (elapsed > 1000000) /* a pause says nothing of the rate */
        elapsed = DEFAULT_INTERVAL_US;
    if (r->bytes > 0) {
        int64_t interval = (int64_t)FEEDBACK_BITS * SHARE * elapsed / (r->bytes * 8);
        r->interval_us = interval < MIN_INTERVAL_US   ? MIN_INTERVAL_US
                         : interval > MAX_INTERVAL_US ? MAX_INTERVAL_US
                                                      : interval;
    }
    r->last_us = now_us;
    r->bytes = 0;
    r->waiting = 0;
    r->first_us = INT64_MAX;
}

/* One chunk for the first of the n symbols; how many it covers. Section 3.1.3 and 3.1.4. */
static int write_chunk(struct byte_writer *w, const uint8_t *symbol, int n)
{
    int run = 1, ones = 0;
    while (run < n && run < MAX_RUN && symbol[run] == symbol[0])
        run++;
    while (ones < n && ones < 14 && symbol[ones] != SYMBOL_LARGE)
        ones++;
    bool narrow = ones == 14 || ones == n;
    if (run >= (narrow ? 14 : 7) || run == n) {
        bw_u16(w, (uint16_t)(symbol[0] << 13 | run));
        return run;
    }
    int cover = narrow ? 14 : 7, bits = narrow ? 1 : 2;
    uint32_t chunk = narrow ? 0x8000 : 0xc000;
    for (int i = 0; i < cover && i < n; i++)
        chunk |= (uint32_t)symbol[i] << (14 - bits * (i + 1));
    bw_u16(w, (uint16_t)chunk);
    return cover < n ? cover : n;
}

/* Which packets from base on fit, with their symbols and deltas in ticks; how many. */
static int gather(struct twcc_recorder *r, size_t room, uint8_t *symbol, int16_t *delta,
                  int64_t *reference)
{
    int n = 0;
    int64_t last = -1;
    size_t deltas = 0;
    for (int64_t s = r->base; s <= r->highest && n < MAX_STATUSES; s++, n++) {
        int64_t arrival = *slot(r, s);
        size_t chunks = 2 * ((size_t)n / 7 + 1);
        if (HEADER + chunks + deltas + 2 + 3 > room)
            break;
        symbol[n] = SYMBOL_LOST;
        if (arrival < 0)
            continue;
        int64_t ticks = arrival / TICK_US;
        if (last < 0) {
            *reference = ticks / REFERENCE_TICKS;
            last = *reference * REFERENCE_TICKS;
        }
        int64_t d = ticks - last;
        if (d < INT16_MIN || d > INT16_MAX)
            break;
        symbol[n] = d >= 0 && d <= 255 ? SYMBOL_SMALL : SYMBOL_LARGE;
        deltas += symbol[n];
        delta[n] = (int16_t)d;
        last = ticks;
    }
    return n;
}

void twcc_write(struct twcc_recorder *r, struct byte_writer *w, uint32_t ssrc, uint32_t media_ssrc,
                int64_t now_us)
{
    uint8_t symbol[MAX_STATUSES];
    int16_t delta[MAX_STATUSES];
    int64_t reference = 0;
    uint8_t *start = w->p;
    while (r->base < r->highest && r->base <= r->highest - TWCC_WINDOW)
        r->base++;
    int n = r->base <= r->highest ? gather(r, w->left, symbol, delta, &reference) : 0;
    if (n == 0) {
        w->failed = true;
        return;
    }
    bw_u8(w, 0x80 | RTPFB_TWCC);
    bw_u8(w, RTCP_RTPFB);
    bw_u16(w, 0); /* the length, below */
    bw_u32(w, ssrc);
    bw_u32(w, media_ssrc);
    bw_u16(w, (uint16_t)r->base);
    bw_u16(w, (uint16_t)n);
    bw_u32(w, ((uint32_t)reference & 0xffffff) << 8 | r->count++);
    for (int i = 0; i < n;)
        i += write_chunk(w, symbol + i, n - i);
    for (int i = 0; i < n; i++) {
        if (symbol[i] == SYMBOL_SMALL)
            bw_u8(w, (uint8_t)delta[i]);
        else if (symbol[i] == SYMBOL_LARGE)
            bw_u16(w, (uint16_t)delta[i]);
    }
    /* Zeros up to the length, as the draft draws it, without the padding bit, whose count would
     * have to be a multiple of 4. */
    while ((w->p - start) % 4 && !w->failed)
        bw_u8(w, 0);
    if (w->failed)
        return;
    wr_be16(start + 2, (uint16_t)((w->p - start) / 4 - 1));
    r->base += n;
    next_interval(r, now_us);
}

/* ------------------------------------------------------------------ the sender's side */

static bool load_chunk(struct twcc_reader *r)
{
    if (r->end - r->chunk < 2)
        return false;
    uint16_t c = rd_be16(r->chunk);
    r->chunk += 2;
    r->run = !(c & 0x8000);
    if (r->run) {
        r->symbols_left = c & MAX_RUN;
        r->symbols = c >> 13 & 3;
        return r->symbols_left > 0; /* an empty run would never come to the end */
    }
    bool two_bits = c & 0x4000;
    r->symbols_left = two_bits ? 7 : 14;
    r->symbols = 0;
    for (int i = 0; i < r->symbols_left; i++) /* the first one lowest, two bits each */
        r->symbols |= (uint32_t)(two_bits ? c >> (12 - 2 * i) & 3 : c >> (13 - i) & 1) << 2 * i;
    return true;
}

/* The next packet's symbol; -1: the chunks end too early. */
static int next_symbol(struct twcc_reader *r)
{
    if (r->symbols_left == 0 && !load_chunk(r))
        return -1;
    r->symbols_left--;
    int symbol = (int)(r->symbols & 3);
    if (!r->run)
        r->symbols >>= 2;
    return symbol;
}

bool twcc_read(struct twcc_reader *r, const struct rtcp_packet *p)
{
    memset(r, 0, sizeof *r);
    if (p->type != RTCP_RTPFB || p->count != RTPFB_TWCC || p->len < 16)
        return false;
    r->base = rd_be16(p->body + 8);
    r->n = rd_be16(p->body + 10);
    r->reference = rd_be24(p->body + 12);
    r->count = p->body[15];
    r->chunk = p->body + 16;
    r->end = p->body + p->len;
    /* Over the chunks once: where the deltas begin, and whether they are all there. */
    struct twcc_reader scan = *r;
    size_t deltas = 0;
    for (int i = 0; i < r->n; i++) {
        int symbol = next_symbol(&scan);
        if (symbol < 0)
            return false;
        deltas += symbol == SYMBOL_SMALL ? 1 : symbol == SYMBOL_LARGE ? 2 : 0;
    }
    r->delta = scan.chunk;
    return r->n > 0 && (size_t)(r->end - r->delta) >= deltas;
}

bool twcc_next(struct twcc_reader *r, uint16_t *seq, enum twcc_status *status, int64_t *offset_us)
{
    if (r->i >= r->n)
        return false;
    *seq = (uint16_t)(r->base + r->i++);
    *offset_us = 0;
    switch (next_symbol(r)) {
    case SYMBOL_SMALL:
        r->ticks += *r->delta++;
        break;
    case SYMBOL_LARGE:
        r->ticks += (int16_t)rd_be16(r->delta);
        r->delta += 2;
        break;
    case SYMBOL_NO_TIME: /* reserved, but used for this */
        *status = TWCC_RECEIVED_NO_TIME;
        return true;
    default:
        *status = TWCC_LOST;
        return true;
    }
    *status = TWCC_RECEIVED;
    *offset_us = r->ticks * TICK_US;
    return true;
}

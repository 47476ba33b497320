#include "link.h"

#include <stdlib.h>
#include <string.h>

enum { PLANS = 4096 };

struct packet {
    struct packet *next;
    int64_t in_us, at_us, order;
    uint32_t counted;
    uint16_t len;
    uint8_t data[LINK_PACKET_MAX];
};

struct plan {
    int64_t at_us;
    struct link_config config;
};

struct link {
    struct link_config config;
    uint64_t seed;
    /* The queue; its head is being sent: left_bits × 10^6 of it are not out yet at clock_us. */
    struct packet *head, **tail;
    int64_t left_ubits, clock_us, queued_bytes, queued_packets;
    bool head_begun; /* its first bit is out */
    /* Those on their way, a heap by at_us, then order. */
    struct packet **heap;
    int n, cap;
    int64_t order, last_at_us;
    bool bad; /* Gilbert-Elliott */
    struct packet *spare, *popped;
    struct plan plan[PLANS];
    int plan_first, plan_end;
    struct link_stats stats;
    int64_t wait_max_us, capacity_ubits; /* capacity: -1: it had no limit */
    int64_t capacity_from_us;
    uint32_t waits[LINK_WAIT_BINS];
    struct link_slice slice[LINK_SLICES];
    int slices;
};

static double random01(uint64_t *s) /* xorshift64*: 0 <= r < 1 */
{
    *s ^= *s >> 12;
    *s ^= *s << 25;
    *s ^= *s >> 27;
    return (double)(*s * 2685821657736338717u >> 11) / 9007199254740992.0;
}

static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }

void link_config_init(struct link_config *c)
{
    *c = (struct link_config){.burst_length = 1};
}

struct link *link_new(const struct link_config *c, uint64_t seed, int64_t now_us)
{
    struct link *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    l->config = *c;
    l->seed = seed * 0x9e3779b97f4a7c15u + 0x2545f4914f6cdd1du;
    if (l->seed == 0)
        l->seed = 1;
    l->tail = &l->head;
    l->clock_us = now_us;
    l->last_at_us = INT64_MIN;
    link_reset_stats(l, now_us);
    return l;
}

static void free_list(struct packet *p)
{
    while (p) {
        struct packet *next = p->next;
        free(p);
        p = next;
    }
}

void link_free(struct link **l)
{
    if (!*l)
        return;
    free_list((*l)->head);
    free_list((*l)->spare);
    free((*l)->popped);
    for (int i = 0; i < (*l)->n; i++)
        free((*l)->heap[i]);
    free((*l)->heap);
    free(*l);
    *l = NULL;
}

static struct packet *take_spare(struct link *l)
{
    struct packet *p = l->spare;
    if (p)
        l->spare = p->next;
    else
        p = malloc(sizeof *p);
    return p;
}

static void give_back(struct link *l, struct packet *p)
{
    p->next = l->spare;
    l->spare = p;
}

/* ------------------------------------------------------------------ statistics */

static struct link_slice *slice_at(struct link *l, int64_t t_us)
{
    int64_t i = (t_us - l->stats.since_us) / LINK_SLICE_US;
    i = i < 0 ? 0 : i >= LINK_SLICES ? LINK_SLICES - 1 : i;
    while (l->slices <= i)
        memset(&l->slice[l->slices++], 0, sizeof l->slice[0]);
    return &l->slice[i];
}

/* What the rate could have carried up to t_us, slice by slice. */
static void count_capacity(struct link *l, int64_t t_us)
{
    while (l->capacity_from_us < t_us) {
        int64_t begin = l->capacity_from_us - l->stats.since_us;
        int64_t end = l->stats.since_us + (begin / LINK_SLICE_US + 1) * LINK_SLICE_US;
        end = min64(end, t_us);
        struct link_slice *s = slice_at(l, l->capacity_from_us);
        int64_t span = end - l->capacity_from_us;
        if (l->config.rate_bps == 0) {
            s->capacity = -1;
            l->capacity_ubits = -1;
        } else {
            if (s->capacity >= 0)
                s->capacity += l->config.rate_bps * span / 8000000;
            if (l->capacity_ubits >= 0)
                l->capacity_ubits += l->config.rate_bps / 8 * span;
        }
        l->capacity_from_us = end;
    }
}

static void count_wait(struct link *l, int64_t wait_us, int64_t now_us)
{
    int64_t bin = wait_us / LINK_WAIT_BIN_US;
    l->waits[bin < LINK_WAIT_BINS ? bin : LINK_WAIT_BINS - 1]++;
    l->wait_max_us = wait_us > l->wait_max_us ? wait_us : l->wait_max_us;
    struct link_slice *s = slice_at(l, now_us);
    if (wait_us > s->longest_wait_us)
        s->longest_wait_us = (int32_t)min64(wait_us, INT32_MAX);
}

static int64_t wait_quantile(const struct link *l, double share)
{
    int64_t total = 0, sum = 0;
    for (int i = 0; i < LINK_WAIT_BINS; i++)
        total += l->waits[i];
    for (int i = 0; i < LINK_WAIT_BINS; i++) {
        sum += l->waits[i];
        if (sum > 0 && (double)sum >= share * (double)total)
            return (int64_t)i * LINK_WAIT_BIN_US;
    }
    return 0;
}

void link_reset_stats(struct link *l, int64_t now_us)
{
    memset(&l->stats, 0, sizeof l->stats);
    memset(l->waits, 0, sizeof l->waits);
    l->stats.since_us = l->capacity_from_us = now_us;
    l->wait_max_us = l->capacity_ubits = 0;
    l->slices = 0;
}

/* ------------------------------------------------------------------ after the rate */

static bool before(const struct packet *a, const struct packet *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void heap_put(struct link *l, struct packet *p)
{
    if (l->n == l->cap) {
        int cap = l->cap ? 2 * l->cap : 256;
        struct packet **heap = realloc(l->heap, (size_t)cap * sizeof(struct packet *));
        if (!heap) {
            give_back(l, p);
            return;
        }
        l->heap = heap;
        l->cap = cap;
    }
    p->order = l->order++;
    int i = l->n++;
    for (; i > 0 && before(p, l->heap[(i - 1) / 2]); i = (i - 1) / 2)
        l->heap[i] = l->heap[(i - 1) / 2];
    l->heap[i] = p;
}

static struct packet *heap_take(struct link *l)
{
    struct packet *top = l->heap[0], *last = l->heap[--l->n];
    int i = 0;
    for (;;) {
        int c = 2 * i + 1;
        if (c >= l->n)
            break;
        if (c + 1 < l->n && before(l->heap[c + 1], l->heap[c]))
            c++;
        if (!before(l->heap[c], last))
            break;
        l->heap[i] = l->heap[c];
        i = c;
    }
    if (l->n > 0)
        l->heap[i] = last;
    return top;
}

static bool is_lost(struct link *l)
{
    const struct link_config *c = &l->config;
    if (c->burst_loss > 0) {
        double leave = 1 / c->burst_length;
        double enter = c->burst_loss >= 1 ? 1 : leave * c->burst_loss / (1 - c->burst_loss);
        l->bad = random01(&l->seed) < (l->bad ? 1 - leave : enter);
        if (l->bad)
            return true;
    }
    return c->loss > 0 && random01(&l->seed) < c->loss;
}

/* The packet has left the queue at t_us: now it is lost, or on its way. */
static void travel(struct link *l, struct packet *p, int64_t t_us)
{
    const struct link_config *c = &l->config;
    if (is_lost(l)) {
        l->stats.lost++;
        slice_at(l, t_us)->lost++;
        give_back(l, p);
        return;
    }
    int64_t delay = c->delay_us;
    if (c->jitter_us > 0)
        delay += (int64_t)((2 * random01(&l->seed) - 1) * (double)c->jitter_us);
    int64_t at = t_us + (delay > 0 ? delay : 0);
    bool late = c->reorder > 0 && random01(&l->seed) < c->reorder;
    if (late) {
        l->stats.reordered++;
        at += c->reorder_us;
    } else if (!c->unordered) {
        at = at < l->last_at_us ? l->last_at_us : at;
        l->last_at_us = at;
    }
    p->at_us = at;
    struct packet *twin = NULL;
    if (c->duplicate > 0 && random01(&l->seed) < c->duplicate && (twin = take_spare(l))) {
        memcpy(twin, p, offsetof(struct packet, data) + p->len);
        l->stats.duplicated++;
    }
    heap_put(l, p);
    if (twin)
        heap_put(l, twin);
}

/* ------------------------------------------------------------------ the queue and the rate */

static void begin_head(struct link *l)
{
    l->left_ubits = l->head ? (int64_t)l->head->counted * 8000000 : 0;
    l->head_begun = false;
}

/* When the head will be out, if the rate stays. */
static int64_t head_out_us(const struct link *l)
{
    if (!l->head)
        return INT64_MAX;
    if (l->config.rate_bps == 0)
        return l->clock_us;
    return l->clock_us + (l->left_ubits + l->config.rate_bps - 1) / l->config.rate_bps;
}

/* Sends what the present rate lets out up to t_us. */
static void serve(struct link *l, int64_t t_us)
{
    while (l->head) {
        struct packet *p = l->head;
        if (!l->head_begun) {
            l->head_begun = true;
            count_wait(l, l->clock_us - p->in_us, l->clock_us);
        }
        int64_t out = head_out_us(l);
        if (out > t_us) {
            l->left_ubits -= (t_us - l->clock_us) * l->config.rate_bps;
            l->stats.busy_us += t_us - l->clock_us;
            break;
        }
        l->stats.busy_us += out - l->clock_us;
        l->clock_us = out;
        l->head = p->next;
        if (!l->head)
            l->tail = &l->head;
        l->queued_bytes -= p->counted;
        l->queued_packets--;
        l->stats.packets_out++;
        l->stats.bytes_out += p->counted;
        slice_at(l, out)->bytes += p->counted;
        begin_head(l);
        travel(l, p, out);
    }
    l->clock_us = t_us;
}

/* The state as it is at now_us, with the planned changes at their times. */
static void advance(struct link *l, int64_t now_us)
{
    if (now_us < l->clock_us)
        return;
    while (l->plan_first < l->plan_end && l->plan[l->plan_first].at_us <= now_us) {
        const struct plan *plan = &l->plan[l->plan_first++];
        if (plan->at_us > l->clock_us) {
            serve(l, plan->at_us);
            count_capacity(l, plan->at_us);
        }
        l->config = plan->config;
    }
    serve(l, now_us);
    count_capacity(l, now_us);
}

void link_configure(struct link *l, const struct link_config *c, int64_t now_us)
{
    advance(l, now_us);
    l->config = *c;
}

bool link_plan(struct link *l, const struct link_config *c, int64_t at_us)
{
    if (l->plan_first == l->plan_end)
        l->plan_first = l->plan_end = 0;
    if (l->plan_end == PLANS)
        return false;
    int64_t last = l->plan_end > l->plan_first ? l->plan[l->plan_end - 1].at_us : INT64_MIN;
    l->plan[l->plan_end++] = (struct plan){at_us < last ? last : at_us, *c};
    return true;
}

void link_unplan(struct link *l) { l->plan_first = l->plan_end = 0; }

const struct link_config *link_last_config(const struct link *l)
{
    return l->plan_end > l->plan_first ? &l->plan[l->plan_end - 1].config : &l->config;
}

static bool fits(const struct link *l, size_t counted)
{
    const struct link_config *c = &l->config;
    if (!l->head)
        return true; /* nothing waits: it is sent at once, however large */
    if (c->queue_bytes > 0 && l->queued_bytes + (int64_t)counted > c->queue_bytes)
        return false;
    if (c->queue_us == 0 || c->rate_bps == 0)
        return true;
    int64_t before_it = l->queued_bytes - l->head->counted;
    int64_t wait = (before_it * 8000000 + l->left_ubits) / c->rate_bps;
    return wait <= c->queue_us;
}

void link_push(struct link *l, const void *data, size_t len, size_t counted, int64_t now_us)
{
    advance(l, now_us);
    l->stats.packets_in++;
    l->stats.bytes_in += (int64_t)counted;
    struct packet *p = len <= LINK_PACKET_MAX && fits(l, counted) ? take_spare(l) : NULL;
    if (!p) {
        l->stats.overflowed++;
        slice_at(l, now_us)->overflowed++;
        return;
    }
    *p = (struct packet){.in_us = l->clock_us, .counted = (uint32_t)counted, .len = (uint16_t)len};
    memcpy(p->data, data, len);
    bool first = !l->head;
    *l->tail = p;
    l->tail = &p->next;
    l->queued_bytes += (int64_t)counted;
    l->queued_packets++;
    if (first)
        begin_head(l);
    serve(l, l->clock_us);
}

int64_t link_next_us(const struct link *l)
{
    int64_t next = head_out_us(l);
    if (l->n > 0)
        next = min64(next, l->heap[0]->at_us);
    if (l->plan_first < l->plan_end)
        next = min64(next, l->plan[l->plan_first].at_us);
    return next;
}

size_t link_pop(struct link *l, int64_t now_us, const uint8_t **data, int64_t *due_us)
{
    advance(l, now_us);
    if (l->popped) {
        give_back(l, l->popped);
        l->popped = NULL;
    }
    if (l->n == 0 || l->heap[0]->at_us > now_us)
        return 0;
    l->popped = heap_take(l);
    l->stats.delivered++;
    *data = l->popped->data;
    *due_us = l->popped->at_us;
    return l->popped->len;
}

void link_get_stats(struct link *l, int64_t now_us, struct link_stats *s)
{
    advance(l, now_us);
    *s = l->stats;
    s->wait_p50_us = wait_quantile(l, 0.5);
    s->wait_p95_us = wait_quantile(l, 0.95);
    s->wait_max_us = l->wait_max_us;
    s->capacity_bytes = l->capacity_ubits < 0 ? -1 : l->capacity_ubits / 1000000;
    s->queued_bytes = l->queued_bytes;
    s->queued_packets = l->queued_packets;
}

int link_series(const struct link *l, const struct link_slice **slices)
{
    *slices = l->slice;
    return l->slices;
}

/* Parameter sets kept by id, and access units completed with them. */
#include "hevc/nal.h"

#include "hevc/bits.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_VPS = 16, MAX_SPS = 16, MAX_PPS = 64, MAX_SET_BYTES = 64 * 1024 };

struct stored_nal {
    uint8_t *data; /* owns; NULL: none */
    size_t len;
};

struct param_sets {
    struct stored_nal vps[MAX_VPS], sps[MAX_SPS], pps[MAX_PPS];
    struct hevc_sps sps_info[MAX_SPS];
    int pps_sps[MAX_PPS]; /* the SPS that a PPS refers to */
    int current_sps;      /* of the last IRAP, or learned last; -1: none */
};

/* The parameter sets that an access unit needs at its start. */
struct active_sets {
    int vps, sps, pps; /* ids; -1: unknown */
};

struct param_sets *param_sets_new(void)
{
    struct param_sets *p = calloc(1, sizeof *p);
    if (p)
        p->current_sps = -1;
    return p;
}

static void stored_clear(struct stored_nal *s)
{
    free(s->data);
    s->data = NULL;
    s->len = 0;
}

void param_sets_free(struct param_sets **pp)
{
    struct param_sets *p = *pp;
    *pp = NULL;
    if (!p)
        return;
    for (int i = 0; i < MAX_VPS; i++)
        stored_clear(&p->vps[i]);
    for (int i = 0; i < MAX_SPS; i++)
        stored_clear(&p->sps[i]);
    for (int i = 0; i < MAX_PPS; i++)
        stored_clear(&p->pps[i]);
    free(p);
}

static bool stored_equals(const struct stored_nal *s, const struct nal *n)
{
    return s->data && s->len == n->len && memcmp(s->data, n->data, n->len) == 0;
}

static bool store(struct stored_nal *s, const struct nal *n)
{
    if (stored_equals(s, n))
        return true;
    if (n->len > MAX_SET_BYTES)
        return false;
    uint8_t *copy = malloc(n->len);
    if (!copy)
        return false;
    memcpy(copy, n->data, n->len);
    free(s->data);
    s->data = copy;
    s->len = n->len;
    return true;
}

static void learn_sps(struct param_sets *p, const struct nal *n)
{
    struct hevc_sps sps;
    if (!hevc_parse_sps(n, &sps))
        return;
    if (!stored_equals(&p->sps[sps.id], n)) {
        if (!store(&p->sps[sps.id], n))
            return;
        /* The content of a PPS is read by the rules of its SPS: those of the old one are void. */
        for (int i = 0; i < MAX_PPS; i++)
            if (p->pps[i].data && p->pps_sps[i] == sps.id)
                stored_clear(&p->pps[i]);
        p->sps_info[sps.id] = sps;
    }
    p->current_sps = sps.id;
}

static bool parse_pps_ids(const struct nal *n, int *pps_id, int *sps_id)
{
    struct bit_reader b = bit_reader_of(n->data + 2, n->len - 2);
    uint32_t pps = bits_ue(&b), sps = bits_ue(&b);
    if (b.failed || pps >= MAX_PPS || sps >= MAX_SPS)
        return false;
    *pps_id = (int)pps;
    *sps_id = (int)sps;
    return true;
}

static void learn_nal(struct param_sets *p, const struct nal *n)
{
    int pps_id, sps_id;
    if (nal_layer(n) != 0)
        return;
    switch (nal_type(n)) {
    case NAL_VPS:
        if (n->len > 2)
            store(&p->vps[n->data[2] >> 4], n);
        break;
    case NAL_SPS:
        learn_sps(p, n);
        break;
    case NAL_PPS:
        if (parse_pps_ids(n, &pps_id, &sps_id) && store(&p->pps[pps_id], n))
            p->pps_sps[pps_id] = sps_id;
        break;
    }
}

void param_sets_learn(struct param_sets *p, const struct access_unit *au)
{
    size_t pos = 0;
    struct nal n;
    while (annexb_next(au->data, au->len, &pos, &n))
        if (nal_type(&n) >= NAL_VPS && nal_type(&n) <= NAL_PPS)
            learn_nal(p, &n);
}

/* slice_pic_parameter_set_id of a slice of an IRAP picture, 7.3.6.1. -1: malformed. */
static int irap_slice_pps(const struct nal *n)
{
    struct bit_reader b = bit_reader_of(n->data + 2, n->len - 2);
    bits_skip(&b, 2); /* first_slice_segment_in_pic_flag, no_output_of_prior_pics_flag */
    uint32_t id = bits_ue(&b);
    return b.failed || id >= MAX_PPS ? -1 : (int)id;
}

static struct active_sets activate(const struct param_sets *p, const struct nal *irap_slice)
{
    struct active_sets a = {-1, -1, -1};
    int pps = irap_slice_pps(irap_slice);
    if (pps < 0 || !p->pps[pps].data)
        return a;
    a.pps = pps;
    if (!p->sps[p->pps_sps[pps]].data)
        return a;
    a.sps = p->pps_sps[pps];
    if (p->vps[p->sps_info[a.sps].vps_id].data)
        a.vps = p->sps_info[a.sps].vps_id;
    return a;
}

static bool is_dropped(int type)
{
    return type == NAL_AUD || type == NAL_FD || type == NAL_EOS || type == NAL_EOB;
}

/* What one look over an access unit finds. */
struct au_scan {
    struct nal irap_slice; /* data NULL: not an IRAP picture */
    bool any_dropped;
    bool sets_first; /* it begins with at least one VPS, SPS, PPS each, in this order */
    bool has_vps, has_sps, has_pps;
};

static void scan(struct param_sets *p, const struct access_unit *au, struct au_scan *s)
{
    memset(s, 0, sizeof *s);
    size_t pos = 0;
    int order = NAL_VPS;
    bool in_front = true, vcl = false;
    struct nal n;
    while (annexb_next(au->data, au->len, &pos, &n)) {
        int type = nal_type(&n);
        bool is_set = type >= NAL_VPS && type <= NAL_PPS;
        if (is_dropped(type)) {
            s->any_dropped = true;
            continue;
        }
        if (is_set)
            learn_nal(p, &n);
        if (nal_is_vcl(type) && !vcl) {
            vcl = true;
            if (nal_is_irap(type) && nal_layer(&n) == 0)
                s->irap_slice = n;
        }
        s->has_vps |= type == NAL_VPS;
        s->has_sps |= type == NAL_SPS;
        s->has_pps |= type == NAL_PPS;
        if (!is_set || type < order) {
            s->sets_first |= in_front && s->has_vps && s->has_sps && s->has_pps && !is_set;
            in_front = false;
        }
        order = type;
    }
}

/* Does the access unit itself have this stored set, byte for byte? */
static bool au_has(const struct access_unit *au, const struct stored_nal *set)
{
    size_t pos = 0;
    struct nal n;
    while (annexb_next(au->data, au->len, &pos, &n)) {
        if (stored_equals(set, &n))
            return true;
        if (nal_is_vcl(nal_type(&n)))
            return false;
    }
    return false;
}

/* Parameter sets in front: the active VPS and SPS, and each PPS that refers to that SPS, for
 * later pictures may use another one than the IRAP picture. */
static bool write_sets(const struct param_sets *p, struct active_sets a, struct access_unit *out)
{
    if (!au_append_nal(out, p->vps[a.vps].data, p->vps[a.vps].len) ||
        !au_append_nal(out, p->sps[a.sps].data, p->sps[a.sps].len))
        return false;
    for (int i = 0; i < MAX_PPS; i++)
        if (p->pps[i].data && p->pps_sps[i] == a.sps &&
            !au_append_nal(out, p->pps[i].data, p->pps[i].len))
            return false;
    return true;
}

static bool is_written_set(const struct param_sets *p, struct active_sets a, const struct nal *n)
{
    switch (nal_type(n)) {
    case NAL_VPS:
        return stored_equals(&p->vps[a.vps], n);
    case NAL_SPS:
        return stored_equals(&p->sps[a.sps], n);
    case NAL_PPS:
        for (int i = 0; i < MAX_PPS; i++)
            if (p->pps_sps[i] == a.sps && stored_equals(&p->pps[i], n))
                return true;
    }
    return false;
}

/* Builds the bytes of au anew, and swaps them in. */
static bool rewrite(const struct param_sets *p, struct access_unit *au,
                    const struct active_sets *a)
{
    struct access_unit *fresh = access_unit_new(au->len + 1024);
    if (!fresh)
        return false;
    if (a && !write_sets(p, *a, fresh))
        goto fail;
    size_t pos = 0;
    struct nal n;
    while (annexb_next(au->data, au->len, &pos, &n)) {
        if (is_dropped(nal_type(&n)) || (a && is_written_set(p, *a, &n)))
            continue;
        if (!au_append_nal(fresh, n.data, n.len))
            goto fail;
    }
    uint8_t *data = au->data;
    au->data = fresh->data;
    au->len = fresh->len;
    au->cap = fresh->cap;
    fresh->data = data;
    access_unit_unref(&fresh);
    return true;
fail:
    access_unit_unref(&fresh);
    return false;
}

bool param_sets_complete(struct param_sets *p, struct access_unit *au)
{
    struct au_scan s;
    scan(p, au, &s);
    au->irap = false;
    bool write = false;
    struct active_sets a = {-1, -1, -1};
    if (s.irap_slice.data) {
        a = activate(p, &s.irap_slice);
        au->irap = a.vps >= 0;
        if (a.sps >= 0)
            p->current_sps = a.sps;
        write = au->irap && (!s.sets_first || !au_has(au, &p->vps[a.vps]) ||
                             !au_has(au, &p->sps[a.sps]) || !au_has(au, &p->pps[a.pps]));
    }
    const struct hevc_sps *sps = param_sets_sps(p);
    if (sps) {
        au->width = sps->width;
        au->height = sps->height;
    }
    return (!write && !s.any_dropped) || rewrite(p, au, write ? &a : NULL);
}

const struct hevc_sps *param_sets_sps(const struct param_sets *p)
{
    return p->current_sps >= 0 ? &p->sps_info[p->current_sps] : NULL;
}

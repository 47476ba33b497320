#include "encode/x265_hints.h"

#include <stdlib.h>
#include <string.h>

enum {
    LOAD_LEVEL = 2,            /* depths and modes of blocks, and references */
    MODES_PER_CTU = 85 * 2 * 8, /* x265's bound of prediction modes tried in a tree block */
    MODE_INTER = 1,
    MODE_SKIP = 5,
    INTRA_PLANAR = 0, /* H.265 table 8-1 */
    INTRA_HORIZONTAL = 10,
    INTRA_VERTICAL = 26,
    CHROMA_AS_LUMA = 36,
    PART_2NX2N = 0,
    PART_NXN = 3,
    SMOOTH = 12, /* luma range up to which a block is predicted whole */
    STEEP = 48,  /* and from which an 8x8 block has a prediction for each 4x4 */
};

struct x265_hints {
    int width, height, ctu, cols, rows, parts; /* parts: 4x4 blocks of a tree block */
    uint8_t *depth, *mode;                     /* own; one entry a block, in coding order */
    uint8_t *luma, *chroma, *part_size;        /* own; for IDR pictures */
    int32_t *reference;                        /* owns; all 0: there is one reference */
    uint32_t entries;
    x265_weight_param weights[6];
    x265_analysis_inter_data inter;
    x265_analysis_intra_data intra;
    x265_analysis_validate validate;
};

void x265_hints_param(x265_param *p)
{
    p->analysisLoad = "memory"; /* a name is needed to switch it on; no file is opened */
    p->bUseAnalysisFile = 0;
    p->analysisLoadReuseLevel = LOAD_LEVEL;
    p->bDisableLookahead = 1;
}

/* x265 refuses an analysis that was made with other settings: these are its own. */
static void fill_validate(x265_analysis_validate *v, const x265_param *p, int width, int height)
{
    v->maxNumReferences = p->maxNumReferences;
    v->analysisReuseLevel = LOAD_LEVEL;
    v->sourceWidth = width;
    v->sourceHeight = height;
    v->keyframeMax = p->keyframeMax;
    v->keyframeMin = p->keyframeMin;
    v->openGOP = p->bOpenGOP;
    v->bframes = p->bframes;
    v->bPyramid = p->bBPyramid;
    v->maxCUSize = (int)p->maxCUSize;
    v->minCUSize = (int)p->minCUSize;
    v->intraRefresh = p->bIntraRefresh;
    v->lookaheadDepth = p->lookaheadDepth;
    v->chunkStart = p->chunkStart;
    v->chunkEnd = p->chunkEnd;
    v->cuTree = p->rc.cuTree;
    v->ctuDistortionRefine = p->ctuDistortionRefine;
    v->frameDuplication = p->bEnableFrameDuplication;
}

struct x265_hints *x265_hints_new(const x265_param *p, int width, int height)
{
    struct x265_hints *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    h->width = width;
    h->height = height;
    h->ctu = (int)p->maxCUSize;
    h->cols = (width + h->ctu - 1) / h->ctu;
    h->rows = (height + h->ctu - 1) / h->ctu;
    h->parts = h->ctu / 4 * (h->ctu / 4);
    size_t blocks = (size_t)h->cols * h->rows * h->parts;
    h->depth = calloc(1, blocks);
    h->mode = calloc(1, blocks);
    h->luma = calloc(1, blocks);
    h->chroma = calloc(1, blocks);
    h->part_size = calloc(1, blocks);
    h->reference = calloc((size_t)h->cols * h->rows * MODES_PER_CTU, sizeof h->reference[0]);
    if (!h->depth || !h->mode || !h->luma || !h->chroma || !h->part_size || !h->reference) {
        x265_hints_free(&h);
        return NULL;
    }
    h->inter.depth = h->depth;
    h->inter.modes = h->mode;
    h->inter.ref = h->reference;
    h->intra.depth = h->depth;
    h->intra.modes = h->luma;
    h->intra.chromaModes = h->chroma;
    h->intra.partSizes = (char *)h->part_size;
    fill_validate(&h->validate, p, width, height);
    return h;
}

void x265_hints_free(struct x265_hints **ph)
{
    struct x265_hints *h = *ph;
    *ph = NULL;
    if (!h)
        return;
    free(h->depth);
    free(h->mode);
    free(h->luma);
    free(h->chroma);
    free(h->part_size);
    free(h->reference);
    free(h);
}

/* Is any of the block dirty? And all of it? Tree blocks are as large as cells, or smaller. */
static bool dirty_in(const struct content *c, struct rect block, bool *all)
{
    const struct cell *cell = &c->cells[block.y / CELL * c->cols + block.x / CELL];
    *all = cell->dirty_area && rect_contains(cell->dirty, block);
    struct rect both = rect_intersect(cell->dirty, block);
    return cell->dirty_area && !rect_empty(&both);
}

/* Entries in coding order: a block that is not dirty is a skipped one of its full size. */
static void inter_block(struct x265_hints *h, const struct content *c, struct rect r, uint8_t depth)
{
    bool outside = r.x >= h->width || r.y >= h->height;
    bool crosses = !outside && (r.x + r.w > h->width || r.y + r.h > h->height);
    bool all = false, dirty = !outside && dirty_in(c, r, &all);
    if (r.w > 8 && (crosses || (dirty && !all))) {
        int half = r.w / 2;
        for (int i = 0; i < 4; i++)
            inter_block(h, c, (struct rect){r.x + (i & 1) * half, r.y + (i >> 1) * half, half, half},
                        depth + 1);
        return;
    }
    h->depth[h->entries] = depth;
    h->mode[h->entries++] = dirty || outside ? MODE_INTER : MODE_SKIP;
}

/* How a block of the source looks: the range of its luma, and its steepness across and down. */
struct look {
    int range, across, down;
};

static struct look look_at(const struct picture *pic, struct rect r)
{
    struct look l = {0};
    int low = 255, high = 0;
    r = rect_intersect(r, (struct rect){0, 0, pic->width, pic->height});
    for (int y = r.y; y < r.y + r.h; y++) {
        const uint8_t *p = pic->plane[0] + (ptrdiff_t)y * pic->stride[0] + r.x;
        const uint8_t *up = y > r.y ? p - pic->stride[0] : p;
        for (int x = 0; x < r.w; x++) {
            low = p[x] < low ? p[x] : low;
            high = p[x] > high ? p[x] : high;
            l.down += abs(p[x] - up[x]);
            l.across += x ? abs(p[x] - p[x - 1]) : 0;
        }
    }
    l.range = high - low;
    return l;
}

/* Adds a block to the lists, which are in coding order; *part counts its 4x4 blocks. */
static void intra_entry(struct x265_hints *h, uint8_t depth, bool nxn, uint8_t mode, size_t *part)
{
    size_t parts = (size_t)h->parts >> 2 * depth;
    h->depth[h->entries] = depth;
    h->part_size[h->entries] = nxn ? PART_NXN : PART_2NX2N;
    h->chroma[h->entries++] = CHROMA_AS_LUMA;
    memset(h->luma + *part, mode, parts);
    *part += parts;
}

/* An IDR picture is needed at once, and x265's search of all modes takes a second of text: blocks
 * are split until they are smooth, and steep ones take the direction of their strokes. At QP 26
 * that costs a third of the time and fewer bytes than the ultrafast preset's 16x16 search. */
static void intra_block(struct x265_hints *h, const struct picture *pic, struct rect r,
                        uint8_t depth, size_t *part)
{
    bool outside = r.x >= h->width || r.y >= h->height;
    if (outside) {
        intra_entry(h, depth, false, INTRA_PLANAR, part);
        return;
    }
    bool crosses = r.x + r.w > h->width || r.y + r.h > h->height;
    struct look l = {255, 0, 0};
    if (!crosses || r.w == 8)
        l = look_at(pic, r);
    if (r.w > 8 && (crosses || l.range > SMOOTH)) {
        int half = r.w / 2;
        for (int i = 0; i < 4; i++)
            intra_block(h, pic, (struct rect){r.x + (i & 1) * half, r.y + (i >> 1) * half, half, half},
                        depth + 1, part);
        return;
    }
    uint8_t mode = INTRA_PLANAR;
    if (l.range > SMOOTH && l.across > 2 * l.down)
        mode = INTRA_VERTICAL;
    else if (l.range > SMOOTH && l.down > 2 * l.across)
        mode = INTRA_HORIZONTAL;
    intra_entry(h, depth, r.w == 8 && l.range > STEEP, mode, part);
}

void x265_hints_fill(struct x265_hints *h, x265_picture *pic, const struct content *c,
                     const struct picture *source, bool key, int poc)
{
    h->entries = 0;
    for (int i = 0; i < h->cols * h->rows; i++) {
        struct rect r = {i % h->cols * h->ctu, i / h->cols * h->ctu, h->ctu, h->ctu};
        size_t part = (size_t)i * h->parts;
        if (key)
            intra_block(h, source, r, 0, &part);
        else
            inter_block(h, c, r, 0);
    }
    x265_analysis_data *d = &pic->analysisData;
    memset(d, 0, sizeof *d);
    d->poc = (uint32_t)poc;
    d->sliceType = (uint32_t)pic->sliceType;
    d->numCUsInFrame = (uint32_t)(h->cols * h->rows);
    d->numPartitions = (uint32_t)h->parts;
    d->numCuInHeight = (uint32_t)h->rows;
    d->depthBytes = h->entries;
    d->satdCost = 1; /* only rate control, which is off, would look at it */
    d->lookahead.keyframe = key;
    d->lookahead.dts = d->lookahead.reorderedPts = pic->pts;
    d->wt = h->weights;
    d->interData = &h->inter;
    d->intraData = &h->intra;
    d->saveParam = h->validate;
}

/* motion: finds by how much parts of the screen were scrolled or dragged.
 *
 * Anchors are places of a row that are chosen by what stands there, so that the same content has
 * them wherever it is. A hash of the samples from an anchor on is looked up among those of the
 * picture before; each that is found once votes for a vector. A motion that goes on as in the picture
 * before is not searched for again. Pure; one thread. */
#ifndef HEVCAST_ENCODE_SCREEN_MOTION_H
#define HEVCAST_ENCODE_SCREEN_MOTION_H

#include "encode/screen/coder.h"

struct motion;
struct motion *motion_new(const struct kernels *k); /* borrows; NULL: out of memory */
void motion_free(struct motion **m);
/* dirty: 8x8 blocks that changed from src to pic. Gives at most MATCH_VECTORS vectors, the most
 * voted first, never 0; returns how many. A vector points from new to old. */
int motion_find(struct motion *m, const struct geometry *g, const struct frame *pic,
                const struct frame *src, const uint8_t *dirty, struct mv out[MATCH_VECTORS]);

#endif

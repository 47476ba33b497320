/* Access units that an encoder uses again when everybody else has dropped them. One thread. */
#ifndef HEVCAST_ENCODE_AU_POOL_H
#define HEVCAST_ENCODE_AU_POOL_H

#include "base/picture.h"

enum { AU_POOL_SLOTS = 8 };
struct au_pool {
    struct access_unit *slot[AU_POOL_SLOTS]; /* owns a reference each */
};

/* An empty access unit with the pictures' times; NULL: out of memory. */
struct access_unit *au_pool_get(struct au_pool *pool, const struct picture *pic);
void au_pool_clear(struct au_pool *pool);
/* Appends the NAL units of an Annex B stream, whatever their start codes, with 4-byte ones. AUDs
 * are left out. false: out of memory. */
bool au_append_annexb(struct access_unit *au, const uint8_t *data, size_t len);

#endif

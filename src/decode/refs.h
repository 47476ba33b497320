/* refs: can this access unit be decoded whole? Follows the reference picture sets of H.265
 * section 8.3.2, as a decoder does, so that a missing reference is noticed before it is used.
 * libavcodec makes up a grey picture instead, and the next pictures refer to that in silence.
 * Pure; one thread. */
#ifndef HEVCAST_DECODE_REFS_H
#define HEVCAST_DECODE_REFS_H

#include "base/picture.h"

enum refs_verdict {
    REFS_WHOLE,   /* all that it refers to is there; it can be referred to from now on */
    REFS_MISSING, /* it refers to a picture that never came: do not decode it */
    REFS_LEADING, /* a RASL picture after a random access point: cannot be decoded, by design */
    REFS_NONE,    /* no picture in it, or one that cannot be parsed */
};

struct refs;
struct refs *refs_new(void); /* NULL: out of memory */
void refs_free(struct refs **r);
/* Each access unit in decoding order. *irap: it is a random access point (may be NULL). */
enum refs_verdict refs_check(struct refs *r, const struct access_unit *au, bool *irap);
/* The last picture could not be decoded after all: nothing may refer to it. */
void refs_drop_last(struct refs *r);
/* The decoder was flushed: all is missing until an IRAP. */
void refs_reset(struct refs *r);
/* An IRAP came since the beginning or the last reset. */
bool refs_started(const struct refs *r);
/* The stream can be gone on with after a loss at any picture whose references are there (see
 * hevc_resume_uuid): REFS_WHOLE can be trusted then, whatever was lost before. */
bool refs_resumable(const struct refs *r);
enum { REFS_HEADER_BYTES = 128 }; /* no slice header needs more up to its references */
/* Does this NAL unit (no start code; its beginning is enough) begin a picture at which to go on? */
bool refs_could_resume(const struct refs *r, const uint8_t *nal, size_t len);
/* The POC of the newest picture that is there. false: none is. */
bool refs_newest(const struct refs *r, int32_t *poc);
/* Copies Annex B without SEI, access unit delimiters and filler to dst, which has room for len
 * bytes; how many it is. */
size_t refs_copy_without_sei(uint8_t *dst, const uint8_t *data, size_t len);

#endif

#include "de265decode.h"

#ifdef HAVE_DE265
#include <libde265/de265.h>
#include <string.h>

struct de265decode *de265decode_new(void)
{
    return (struct de265decode *)de265_new_decoder();
}

void de265decode_free(struct de265decode **d)
{
    if (*d)
        de265_free_decoder((de265_decoder_context *)*d);
    *d = NULL;
}

static struct picture *take(const struct de265_image *img)
{
    bool i444 = de265_get_chroma_format(img) == de265_chroma_444;
    struct picture *p = picture_new(i444 ? PIX_I444 : PIX_I420, de265_get_image_width(img, 0),
                                    de265_get_image_height(img, 0));
    for (int i = 0; p && i < 3; i++) {
        int stride;
        const uint8_t *from = de265_get_image_plane(img, i, &stride);
        for (int y = 0; y < picture_rows(p->fmt, p->height, i); y++)
            memcpy(p->plane[i] + (ptrdiff_t)y * p->stride[i], from + (ptrdiff_t)y * stride,
                   (size_t)picture_row_bytes(p->fmt, p->width, i));
    }
    return p;
}

struct picture *de265decode_run(struct de265decode *d, const struct access_unit *au)
{
    de265_decoder_context *c = (de265_decoder_context *)d;
    const struct de265_image *img = NULL;
    int more = 1;
    de265_push_data(c, au->data, (int)au->len, 0, NULL);
    de265_push_end_of_frame(c);
    while (more && !img) { /* `more` stays while a picture waits to be taken */
        if (de265_decode(c, &more) != DE265_OK)
            break;
        img = de265_get_next_picture(c);
    }
    if (!img || de265_get_warning(c) != DE265_OK)
        return NULL;
    return take(img);
}
#else
struct de265decode *de265decode_new(void)
{
    return NULL;
}

void de265decode_free(struct de265decode **d)
{
    *d = NULL;
}

struct picture *de265decode_run(struct de265decode *d, const struct access_unit *au)
{
    (void)d, (void)au;
    return NULL;
}
#endif

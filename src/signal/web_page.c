#include "signal/web_page.h"

#include <string.h>

/* The page runs its own files alone. wasm-unsafe-eval lets it compile the decoder; connect-src is
 * the signalling; pictures and sound come over WebRTC, which needs no source. */
static const char policy[] =
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; "
    "style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'";

const struct web_file *web_file_find(const struct web_file *files, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(files[i].name, name) == 0)
            return &files[i];
    return NULL;
}

/* If-None-Match compares weakly, and proxies make our tag a weak one (RFC 9110 section 13.1.2). */
static gboolean has_it(SoupMessageHeaders *request, const char *etag)
{
    const char *value = soup_message_headers_get_list(request, "If-None-Match");
    gboolean found = FALSE;
    GSList *list = value ? soup_header_parse_list(value) : NULL;
    for (GSList *l = list; l && !found; l = l->next) {
        const char *tag = l->data;
        found = strcmp(tag, "*") == 0 || strcmp(g_str_has_prefix(tag, "W/") ? tag + 2 : tag, etag) == 0;
    }
    soup_header_free_list(list);
    return found;
}

static gboolean takes_gzip(SoupMessageHeaders *request)
{
    const char *value = soup_message_headers_get_list(request, "Accept-Encoding");
    gboolean found = FALSE;
    GSList *list = value ? soup_header_parse_quality_list(value, NULL) : NULL;
    for (GSList *l = list; l && !found; l = l->next)
        found = g_ascii_strcasecmp(l->data, "gzip") == 0 || strcmp(l->data, "*") == 0;
    soup_header_free_list(list);
    return found;
}

/* For the rare client that cannot; our own data, so failing means no memory. */
static GBytes *unpacked(const struct web_file *f)
{
    GConverter *c = G_CONVERTER(g_zlib_decompressor_new(G_ZLIB_COMPRESSOR_FORMAT_GZIP));
    GInputStream *packed = g_memory_input_stream_new_from_data(f->gzip, (gssize)f->gzip_len, NULL);
    GInputStream *plain = g_converter_input_stream_new(packed, c);
    GOutputStream *out = g_memory_output_stream_new_resizable();
    GBytes *bytes = NULL;
    if (g_output_stream_splice(out, plain, G_OUTPUT_STREAM_SPLICE_CLOSE_TARGET, NULL, NULL) >= 0)
        bytes = g_memory_output_stream_steal_as_bytes(G_MEMORY_OUTPUT_STREAM(out));
    g_object_unref(out);
    g_object_unref(plain);
    g_object_unref(packed);
    g_object_unref(c);
    return bytes;
}

void web_file_respond(SoupServerMessage *msg, const struct web_file *f)
{
    SoupMessageHeaders *request = soup_server_message_get_request_headers(msg);
    SoupMessageHeaders *h = soup_server_message_get_response_headers(msg);
    soup_message_headers_replace(h, "ETag", f->etag);
    soup_message_headers_replace(h, "Vary", "Accept-Encoding");
    soup_message_headers_replace(h, "Content-Security-Policy", policy);
    soup_message_headers_replace(h, "Cross-Origin-Resource-Policy", "same-origin");
    /* Kept, and asked for each time whether it is still the same: a share that was restarted may
     * be another version at the same address. */
    soup_message_headers_replace(h, "Cache-Control", "private, no-cache");
    if (has_it(request, f->etag)) {
        soup_server_message_set_status(msg, SOUP_STATUS_NOT_MODIFIED, NULL);
        return;
    }
    soup_server_message_set_status(msg, SOUP_STATUS_OK, NULL);
    if (takes_gzip(request)) {
        soup_message_headers_replace(h, "Content-Encoding", "gzip");
        soup_server_message_set_response(msg, f->type, SOUP_MEMORY_STATIC,
                                         (const char *)f->gzip, f->gzip_len);
        return;
    }
    GBytes *plain = unpacked(f);
    if (!plain) {
        soup_server_message_set_status(msg, SOUP_STATUS_INTERNAL_SERVER_ERROR, NULL);
        return;
    }
    soup_message_headers_replace(h, "Content-Type", f->type);
    soup_message_body_append_bytes(soup_server_message_get_response_body(msg), plain);
    soup_message_headers_set_content_length(h, (goffset)g_bytes_get_size(plain));
    g_bytes_unref(plain);
}

/* A connection's bytes through the whole HTTP side of a share: libsoup's parser, limits, addresses,
 * headers, bodies. Without sockets: the streams are memory. */
#include "fuzz.h"

#include "signal/http_guard.h"
#include "signal/token.h"
#include "signal/web_page.h"
#include "signal/whep_internal.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_TURNS = 400 };

static struct whep_server *server;
static struct loop *loop;

static void on_offer(void *ctx, struct whep_request *req, const char *sdp, size_t len, const char *query)
{
    (void)ctx;
    FUZZ_CHECK(sdp && len > 0 && len <= 65536 && query);
    if (strlen(query) % 2)
        whep_reply_error(req, 406, "no", 0);
    else
        whep_reply_created(req, "v=0\r\n", 5, "id", "tag");
}

static void on_patch(void *ctx, struct whep_request *req, const char *id, const char *if_match,
                     const char *frag, size_t len)
{
    (void)ctx;
    FUZZ_CHECK(token_valid(id) && if_match[0] && frag && len <= 65536);
    whep_reply_frag(req, "a=x\r\n", 5, "tag");
}

static void on_delete(void *ctx, struct whep_request *req, const char *id)
{
    (void)ctx;
    FUZZ_CHECK(token_valid(id));
    whep_reply_ok(req);
}

static void set_up(void)
{
    static const unsigned char gzip[] = { /* "page" */
        0x1f, 0x8b, 0x8, 0x0, 0x0, 0x0, 0x0, 0x0, 0x2, 0x3, 0x2b, 0x48, 0x4c, 0x4f,
        0x5, 0x0, 0x20, 0xb6, 0xa, 0x14, 0x4, 0x0, 0x0, 0x0};
    static const struct web_file files[] = {{"", "text/html", "\"e\"", gzip, sizeof gzip},
                                            {"a.js", "text/javascript", "\"f\"", gzip, sizeof gzip}};
    loop = loop_new();
    struct whep_server_config config = {.loop = loop, .listen = "127.0.0.1:0", .token = "t",
                                        .files = files, .file_count = 2, .on_offer = on_offer,
                                        .on_patch = on_patch, .on_delete = on_delete};
    if (!loop || whep_server_new(&server, &config))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 70000)
        return 0;
    if (!server)
        set_up();
    GMainContext *context = loop_context(loop);
    g_main_context_push_thread_default(context);
    GInputStream *in = g_memory_input_stream_new_from_data(data, (gssize)size, NULL);
    GOutputStream *out = g_memory_output_stream_new_resizable();
    GIOStream *stream = g_simple_io_stream_new(in, out);
    GSocketAddress *local = g_inet_socket_address_new_from_string("127.0.0.1", 1);
    GSocketAddress *remote = g_inet_socket_address_new_from_string("127.0.0.1", 2);
    GSocket *socket = g_socket_new(G_SOCKET_FAMILY_IPV4, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_TCP, NULL);
    FUZZ_CHECK(socket && http_guard_admit(server->guard, socket, remote));
    FUZZ_CHECK(soup_server_accept_iostream(server->soup, stream, local, remote, NULL));
    for (int i = 0; i < MOST_TURNS && !g_io_stream_is_closed(stream); i++)
        g_main_context_iteration(context, FALSE);
    const char *answer = g_memory_output_stream_get_data(G_MEMORY_OUTPUT_STREAM(out));
    size_t len = g_memory_output_stream_get_data_size(G_MEMORY_OUTPUT_STREAM(out));
    FUZZ_CHECK(len == 0 || (len > 12 && memcmp(answer, "HTTP/1.", 7) == 0));
    g_io_stream_close(stream, NULL, NULL);
    g_object_unref(stream);
    g_object_unref(in);
    g_object_unref(out);
    g_object_unref(local);
    g_object_unref(remote);
    g_object_unref(socket);
    for (int i = 0; i < 8; i++)
        g_main_context_iteration(context, FALSE);
    g_main_context_pop_thread_default(context);
    return 0;
}

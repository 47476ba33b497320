#include "source/x11_conn.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <xcb/composite.h>
#include <xcb/damage.h>
#include <xcb/randr.h>
#include <xcb/shm.h>
#include <xcb/xfixes.h>
#include <xcb/xinput.h>

static int connect_failed(const char *display, int code)
{
    const char *shown = display ? display : getenv("DISPLAY");
    if (!shown || !*shown)
        return error_set(ERR_NOT_FOUND, "cannot open an X display: DISPLAY is not set; "
                                        "set it or use x11:DISPLAY");
    if (code == XCB_CONN_CLOSED_PARSE_ERR)
        return error_set(ERR_INVALID, "\"%.100s\" is not an X display; one looks like :0", shown);
    return error_set(ERR_NOT_FOUND,
                     "cannot open X display \"%.100s\": is an X server running "
                     "there, and may you use it? set DISPLAY or use x11:DISPLAY",
                     shown);
}

static bool over_unix_socket(xcb_connection_t *c)
{
    struct sockaddr_storage a;
    socklen_t len = sizeof a;
    return !getsockname(xcb_get_file_descriptor(c), (struct sockaddr *)&a, &len) &&
           a.ss_family == AF_UNIX;
}

static bool at_least(uint32_t major, uint32_t minor, uint32_t want_major, uint32_t want_minor)
{
    return major > want_major || (major == want_major && minor >= want_minor);
}

/* The versions must be told before the extensions' requests work. All go out before the first
 * reply is waited for: one round trip. */
static void query_extensions(struct x11_conn *x)
{
    xcb_connection_t *c = x->c;
    enum { EXT_SHM, EXT_DAMAGE, EXT_XFIXES, EXT_RANDR, EXT_COMPOSITE, EXT_XINPUT, EXT_N };
    xcb_extension_t *ids[EXT_N] = {&xcb_shm_id,   &xcb_damage_id,    &xcb_xfixes_id,
                                   &xcb_randr_id, &xcb_composite_id, &xcb_input_id};
    const xcb_query_extension_reply_t *ext[EXT_N];
    bool has[EXT_N];
    for (int i = 0; i < EXT_N; i++)
        xcb_prefetch_extension_data(c, ids[i]);
    for (int i = 0; i < EXT_N; i++) {
        ext[i] = xcb_get_extension_data(c, ids[i]);
        has[i] = ext[i] && ext[i]->present;
    }

    xcb_shm_query_version_cookie_t shm = {0};
    xcb_damage_query_version_cookie_t damage = {0};
    xcb_xfixes_query_version_cookie_t xfixes = {0};
    xcb_randr_query_version_cookie_t randr = {0};
    xcb_composite_query_version_cookie_t composite = {0};
    xcb_input_xi_query_version_cookie_t xinput = {0};
    if (has[EXT_SHM])
        shm = xcb_shm_query_version(c);
    if (has[EXT_DAMAGE])
        damage = xcb_damage_query_version(c, 1, 1);
    if (has[EXT_XFIXES])
        xfixes = xcb_xfixes_query_version(c, 4, 0);
    if (has[EXT_RANDR])
        randr = xcb_randr_query_version(c, 1, 5);
    if (has[EXT_COMPOSITE])
        composite = xcb_composite_query_version(c, 0, 4);
    if (has[EXT_XINPUT])
        xinput = xcb_input_xi_query_version(c, 2, 2);

#define REPLY(name, ext_index, call, major_field, minor_field, major, minor)                       \
    if (has[ext_index]) {                                                                          \
        __typeof__(call(c, name, NULL)) r = call(c, name, NULL);                                   \
        x->name = r && at_least(r->major_field, r->minor_field, major, minor);                     \
        free(r);                                                                                   \
    }
    /* MIT-SHM 1.2 brought the passing of file descriptors, which works across containers. */
    REPLY(shm, EXT_SHM, xcb_shm_query_version_reply, major_version, minor_version, 1, 2)
    REPLY(damage, EXT_DAMAGE, xcb_damage_query_version_reply, major_version, minor_version, 1, 1)
    REPLY(xfixes, EXT_XFIXES, xcb_xfixes_query_version_reply, major_version, minor_version, 2, 0)
    REPLY(randr, EXT_RANDR, xcb_randr_query_version_reply, major_version, minor_version, 1, 5)
    REPLY(composite, EXT_COMPOSITE, xcb_composite_query_version_reply, major_version, minor_version,
          0, 2)
    /* XInput 2.1: raw events come also while another client grabs the pointer. */
    REPLY(xinput, EXT_XINPUT, xcb_input_xi_query_version_reply, major_version, minor_version, 2, 1)
#undef REPLY
    x->damage_event = has[EXT_DAMAGE] ? ext[EXT_DAMAGE]->first_event : 0;
    x->xfixes_event = has[EXT_XFIXES] ? ext[EXT_XFIXES]->first_event : 0;
    x->randr_event = has[EXT_RANDR] ? ext[EXT_RANDR]->first_event : 0;
    x->xinput_opcode = has[EXT_XINPUT] ? ext[EXT_XINPUT]->major_opcode : 0;
}

int x11_connect(struct x11_conn *x, const char *display)
{
    memset(x, 0, sizeof *x);
    int number = 0;
    x->c = xcb_connect(display, &number);
    int code = xcb_connection_has_error(x->c);
    if (code) {
        x11_disconnect(x);
        return connect_failed(display, code);
    }
    xcb_screen_iterator_t it = xcb_setup_roots_iterator(xcb_get_setup(x->c));
    for (; it.rem > 1 && number > 0; number--)
        xcb_screen_next(&it);
    x->screen = it.data;
    const char *shown = display ? display : getenv("DISPLAY");
    snprintf(x->display, sizeof x->display, "%s", shown ? shown : "");
    x->local = over_unix_socket(x->c);
    query_extensions(x);
    code = xcb_connection_has_error(x->c);
    if (code) {
        x11_disconnect(x);
        return connect_failed(display, code);
    }
    LOG_DEBUG(x11, "%s: shm %d damage %d xfixes %d randr %d composite %d xinput %d", x->display,
              x->shm && x->local, x->damage, x->xfixes, x->randr, x->composite, x->xinput);
    return 0;
}

void x11_disconnect(struct x11_conn *x)
{
    if (x->c)
        xcb_disconnect(x->c);
    x->c = NULL;
}

xcb_atom_t x11_atom(struct x11_conn *x, const char *name)
{
    xcb_intern_atom_reply_t *r =
        xcb_intern_atom_reply(x->c, xcb_intern_atom(x->c, 1, (uint16_t)strlen(name), name), NULL);
    xcb_atom_t atom = r ? r->atom : XCB_NONE;
    free(r);
    return atom;
}

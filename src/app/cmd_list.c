/* hevcast list: what works here, and why others don't. */
#include "app.h"

#include <cjson/cJSON.h>
#include <string.h>

static const char *const kinds[] = {[HEVCAST_LIST_MONITOR] = "monitors",
                                    [HEVCAST_LIST_WINDOW] = "windows",
                                    [HEVCAST_LIST_ENCODER] = "encoders",
                                    [HEVCAST_LIST_DECODER] = "decoders",
                                    [HEVCAST_LIST_DISPLAY] = "displays"};

struct listing {
    cJSON *json; /* NULL: as text */
    int last_kind;
};

static bool has_geometry(const hevcast_list_item *i)
{
    return i->kind == HEVCAST_LIST_MONITOR || i->kind == HEVCAST_LIST_WINDOW;
}

static void add_json(struct listing *l, const hevcast_list_item *i)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "name", i->name);
    if (has_geometry(i)) {
        cJSON_AddNumberToObject(o, "x", i->x);
        cJSON_AddNumberToObject(o, "y", i->y);
        cJSON_AddNumberToObject(o, "width", i->width);
        cJSON_AddNumberToObject(o, "height", i->height);
        if (i->detail[0])
            cJSON_AddStringToObject(o, "title", i->detail);
    } else {
        cJSON_AddBoolToObject(o, "works", i->works);
        if (i->detail[0])
            cJSON_AddStringToObject(o, "reason", i->detail);
    }
    cJSON_AddItemToArray(cJSON_GetObjectItem(l->json, kinds[i->kind]), o);
}

static void print_item(void *ctx, const hevcast_list_item *i)
{
    struct listing *l = ctx;
    if (l->json) {
        add_json(l, i);
        return;
    }
    if (l->last_kind != (int)i->kind)
        printf("%s:\n", kinds[i->kind]);
    l->last_kind = (int)i->kind;
    if (has_geometry(i))
        printf("  %-16s %dx%d+%d+%d  %s\n", i->name, i->width, i->height, i->x, i->y, i->detail);
    else
        printf("  %-16s %s%s%s\n", i->name, i->works ? "works" : "does not work",
               i->detail[0] ? ": " : "", i->detail);
}

int cmd_list(int argc, char **argv)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    struct listing l = {.last_kind = -1};
    bool json = false;
    int c;
    while ((c = getopt_long(argc, argv, "hj", options, NULL)) != -1) {
        if (c == 'h') {
            puts("Usage: hevcast list [--json]\nThe monitors, windows, encoders, decoders and "
                 "displays that work here, and why others don't.");
            return EXIT_OK;
        }
        if (c == '?')
            return EXIT_USAGE;
        json = true;
    }
    if (optind < argc) {
        usage_error("list", "list takes no operand");
        return EXIT_USAGE;
    }
    hevcast_set_log_level(0);
    if (json) {
        l.json = cJSON_CreateObject();
        for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
            cJSON_AddArrayToObject(l.json, kinds[i]);
    }
    int err = hevcast_list(print_item, &l);
    if (err && !json)
        printf("no monitors or windows: %s\n", hevcast_error_text());
    if (json) {
        char *text = cJSON_Print(l.json);
        puts(text ? text : "{}");
        cJSON_free(text);
        cJSON_Delete(l.json);
    }
    return EXIT_OK;
}

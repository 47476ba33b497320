#include "session/options.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>

const char *string_bag_copy(struct string_bag *bag, const char *s)
{
    if (!s)
        return NULL;
    if (bag->n == (int)(sizeof bag->s / sizeof bag->s[0]) || !(bag->s[bag->n] = strdup(s))) {
        bag->failed = true;
        return NULL;
    }
    return bag->s[bag->n++];
}

void string_bag_free(struct string_bag *bag)
{
    for (int i = 0; i < bag->n; i++)
        free(bag->s[i]);
    memset(bag, 0, sizeof *bag);
}

int ice_servers_parse(struct ice_server *servers, const char *const *urls, int n)
{
    if (n > ICE_MAX_SERVERS)
        return error_set(ERR_INVALID, "at most %d ICE servers can be used", ICE_MAX_SERVERS);
    for (int i = 0; i < n; i++) {
        int err = ice_server_parse(urls[i], &servers[i]);
        if (err)
            return err;
    }
    return n;
}

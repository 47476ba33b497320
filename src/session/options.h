/* options: own copies of the strings of a public config. */
#ifndef HEVCAST_SESSION_OPTIONS_H
#define HEVCAST_SESSION_OPTIONS_H

#include "transport/ice.h"

/* A fixed number of strings that are freed together. */
struct string_bag {
    char *s[24];
    int n;
    bool failed; /* out of memory, or full */
};
/* A copy that lives as long as the bag; NULL for NULL, or when it failed. */
const char *string_bag_copy(struct string_bag *bag, const char *s);
void string_bag_free(struct string_bag *bag);

/* Parses URLs into servers[ICE_MAX_SERVERS]; the number, or ERR_INVALID. */
int ice_servers_parse(struct ice_server *servers, const char *const *urls, int n);

#endif

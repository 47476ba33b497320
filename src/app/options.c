#include "app.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void usage_error(const char *verb, const char *sentence)
{
    fprintf(stderr, "hevcast: %s\nTry `hevcast %s --help`.\n", sentence, verb);
}

bool parse_int(const char *option, const char *text, long min, long max, int *out)
{
    char *end;
    errno = 0;
    long v = strtol(text, &end, 10);
    if (errno || end == text || *end || v < min || v > max) {
        fprintf(stderr, "hevcast: %s takes a whole number from %ld to %ld, not \"%s\"\n", option,
                min, max, text);
        return false;
    }
    *out = (int)v;
    return true;
}

bool parse_rate(const char *option, const char *text, int64_t *out_bps)
{
    char *end;
    double v = strtod(text, &end), scale = 1;
    if (*end == 'k' || *end == 'K')
        scale = 1e3;
    else if (*end == 'M' || *end == 'm')
        scale = 1e6;
    else if (*end == 'G' || *end == 'g')
        scale = 1e9;
    end += scale > 1;
    if (end == text || *end || !(v > 0) || v * scale > 1e12) {
        fprintf(stderr, "hevcast: %s takes a rate in bits a second such as 20M or 500k, not \"%s\"\n",
                option, text);
        return false;
    }
    *out_bps = (int64_t)(v * scale);
    return true;
}

bool parse_seconds(const char *option, const char *text, double *out)
{
    char *end;
    double v = strtod(text, &end);
    if (end == text || *end || !(v > 0) || v > 1e9) {
        fprintf(stderr, "hevcast: %s takes a number of seconds above 0, not \"%s\"\n", option, text);
        return false;
    }
    *out = v;
    return true;
}

bool parse_port_range(const char *text, int *min, int *max)
{
    char junk;
    if (sscanf(text, "%d-%d%c", min, max, &junk) == 2 && *min >= 1 && *max <= 65535 && *min <= *max)
        return true;
    fprintf(stderr, "hevcast: --udp-ports takes MIN-MAX, such as 50000-50100, not \"%s\"\n", text);
    return false;
}

bool parse_choice(const char *option, const char *text, const char *const *names, int *out)
{
    for (int i = 0; names[i]; i++) {
        if (!strcmp(text, names[i])) {
            *out = i;
            return true;
        }
    }
    fprintf(stderr, "hevcast: %s is ", option);
    for (int i = 0; names[i]; i++)
        fprintf(stderr, "%s%s", i == 0 ? "" : names[i + 1] ? ", " : " or ", names[i]);
    fprintf(stderr, ", not \"%s\"\n", text);
    return false;
}

int common_option(struct common_options *o, int c, const char *arg)
{
    switch (c) {
    case 'q':
        o->quiet = true;
        return 1;
    case 'v':
        o->verbose++;
        return 1;
    case 1000:
        o->stats_path = arg;
        return 1;
    case 1001:
        return parse_seconds("--duration", arg, &o->duration_s) ? 1 : -1;
    case 1002:
        if (o->ice_server_count == MAX_ICE_SERVERS) {
            fprintf(stderr, "hevcast: --ice-server can be given at most %d times\n",
                    MAX_ICE_SERVERS);
            return -1;
        }
        o->ice_servers[o->ice_server_count++] = arg;
        return 1;
    default:
        return 0;
    }
}

bool parse_options(const struct verb *verb, int argc, char **argv, void *ctx, int *status)
{
    int c;
    while ((c = getopt_long(argc, argv, COMMON_SHORT_OPTIONS, verb->options, NULL)) != -1) {
        if (c == 'h') {
            fputs(verb->help, stdout);
            *status = EXIT_OK;
            return false;
        }
        if (c == '?' || !verb->take(ctx, c, optarg)) {
            fprintf(stderr, "Try `hevcast %s --help`.\n", verb->name);
            *status = EXIT_USAGE;
            return false;
        }
    }
    return true;
}

#include "app.h"

#include <string.h>

static const char help[] =
    "hevcast: a screen, a recording or encoded video as HEVC over WebRTC\n"
    "\n"
    "Usage: hevcast share [SOURCE] [options]   serve SOURCE (default: this screen) to viewers\n"
    "       hevcast view URL [options]         watch a share, or any WHEP endpoint\n"
    "       hevcast list [--json]              what works here, and why others don't\n"
    "       hevcast --version | --help\n"
    "\n"
    "`hevcast VERB --help` tells more.\n";

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} verbs[] = {{"share", cmd_share}, {"view", cmd_view}, {"list", cmd_list}};

int main(int argc, char **argv)
{
    if (argc < 2) {
        fputs(help, stderr);
        return EXIT_USAGE;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        fputs(help, stdout);
        return EXIT_OK;
    }
    if (!strcmp(argv[1], "--version")) {
        printf("hevcast %s\n", hevcast_version());
        return EXIT_OK;
    }
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        if (!strcmp(argv[1], verbs[i].name)) {
            static char name[] = "hevcast";
            argv[1] = name; /* getopt puts it before its messages */
            return verbs[i].run(argc - 1, argv + 1);
        }
    }
    fprintf(stderr, "hevcast: there is no verb \"%s\"; there are share, view and list\n", argv[1]);
    return EXIT_USAGE;
}

#include "source/source.h"

#include "base/error.h"

/* Tried in this order; the file driver takes whatever is left, so it stands last. */
static const struct source_ops *const drivers[] = {
    &source_x11,
    &source_test,
    &source_file,
    NULL,
};

int source_open(struct source **out, const struct source_config *config)
{
    *out = NULL;
    for (int i = 0; drivers[i]; i++)
        if (drivers[i]->takes(config->spec))
            return drivers[i]->open(out, config);
    return error_set(ERR_INVALID, "\"%s\" is not a source; use screen, x11[:DISPLAY], "
                                  "test[:WxH@FPS], a file, a URL or - for standard input",
                     config->spec);
}

void source_close(struct source **s)
{
    if (*s)
        (*s)->ops->close(*s);
    *s = NULL;
}

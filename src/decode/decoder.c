#include "decode/decoder.h"

#include "base/error.h"
#include "base/log.h"

#include <string.h>

/* The CPU is first: screens decode in a few milliseconds, every chroma format works, and the
 * picture need not be read back from a graphics card. */
const struct decoder_ops *const decoder_table[] = {&decoder_cpu, &decoder_vaapi, &decoder_cuda,
                                                   NULL};

static int open_named(struct decoder **out, const char *name)
{
    for (const struct decoder_ops *const *t = decoder_table; *t; t++) {
        if (strcmp((*t)->name, name) != 0)
            continue;
        char reason[160] = "";
        if (!(*t)->probe(reason, sizeof reason))
            return error_set(ERR_UNSUPPORTED,
                             "the decoder %s does not work here: %s; use --decoder auto", name,
                             reason);
        return (*t)->open(out);
    }
    return error_set(ERR_NOT_FOUND, "there is no decoder \"%s\"; `hevcast list` names them", name);
}

int decoder_open(struct decoder **out, const char *name)
{
    *out = NULL;
    if (name && strcmp(name, "auto") != 0)
        return open_named(out, name);
    for (const struct decoder_ops *const *t = decoder_table; *t; t++) {
        char reason[160] = "";
        if ((*t)->probe(reason, sizeof reason) && (*t)->open(out) == 0)
            return 0;
        LOG_INFO(decode, "%s: %s", (*t)->name, reason[0] ? reason : error_text());
    }
    return error_set(ERR_UNSUPPORTED, "no HEVC decoder works here; `hevcast list` says why");
}

int decoder_decode(struct decoder *d, const struct access_unit *au, struct picture **out)
{
    *out = NULL;
    return d->ops->decode(d, au, out);
}

void decoder_close(struct decoder **d)
{
    if (*d)
        (*d)->ops->close(*d);
    *d = NULL;
}

#include "display/display.h"

const struct display_ops *const display_table[] = {&display_sdl, &display_null, NULL};

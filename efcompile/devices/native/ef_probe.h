/* What a machine says of itself, to a program or library that runs on it. */
#ifndef EF_PROBE_H
#define EF_PROBE_H

#include <stdint.h>

/* Writes lines of "name value" into `text` and returns their bytes, or -1 where `capacity` is
   too small. */
int32_t ef_probe(char *text, int32_t capacity);

#endif

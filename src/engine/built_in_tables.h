/* Threshold tables of share/thresholds, compiled in; CMakeLists.txt makes built_in_tables.c from them. */
#ifndef FRT_ENGINE_BUILT_IN_TABLES_H
#define FRT_ENGINE_BUILT_IN_TABLES_H

#include <stddef.h>

struct frt_built_in_table {
    const unsigned char *text;
    const size_t *size;
};
/** Ended by a NULL text. */
extern const struct frt_built_in_table frt_built_in_tables[];

#endif

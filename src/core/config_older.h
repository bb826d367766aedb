/*
 * Variables of the older service that mean nothing here by that name: accepted, and explained.
 * Threading: reads the environment it is given.
 */
#ifndef FRT_CORE_CONFIG_OLDER_H
#define FRT_CORE_CONFIG_OLDER_H

#include <stddef.h>

/** Tell `say` about each such variable of an environment (NULL-terminated): its name, and in one sentence what
 *  it means here. Values are not shown. */
void frt_config_older_explain(char **environ_list,
                              void (*say)(void *arg, const char *name, const char *meaning), void *arg);

#endif

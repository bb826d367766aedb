/* Zip archives for tests, hostile ones too. Threading: pure functions over the file system. */
#ifndef TESTS_MODEL_ZIP_MAKER_H
#define TESTS_MODEL_ZIP_MAKER_H

#include <stdbool.h>
#include <stddef.h>

struct zip_entry {
    const char *name;
    const void *bytes;
    size_t size;
};

/** Write an archive of deflated entries. False when it cannot be written. */
bool zip_make(const char *path, const struct zip_entry *entries, size_t n);

#endif

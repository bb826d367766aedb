/*
 * Where the inference runtime's shared library lies, and opening it (docs/design/inference.md).
 * Threading: as dlopen; reads the environment.
 */
#ifndef FRT_INFER_RUNTIME_LIBRARY_H
#define FRT_INFER_RUNTIME_LIBRARY_H

#include "core/buf.h"

/**
 * Open the library; it stays open.
 * asked   a library or its folder, used or refused; NULL or "": $FRT_RUNTIME likewise, else a search.
 * soname  a third name to look for, e.g. "libonnxruntime.so.1.21".
 * looked  out: where it looked in vain, as text.
 * Returns the handle of dlopen; NULL: not found.
 */
void *frt_runtime_library_open(const char *asked, const char *soname, struct frt_buf *looked);

#endif

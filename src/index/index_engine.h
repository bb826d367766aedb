/*
 * What an index engine provides; index.c checks arguments and forwards. Threading: see index.h.
 */
#ifndef FRT_INDEX_INDEX_ENGINE_H
#define FRT_INDEX_INDEX_ENGINE_H

#include "index/index.h"

/** An engine's state begins with this. */
struct frt_index {
    const struct frt_index_ops *ops;
    struct frt_index_options options; /* threads filled in */
};

/** Arguments have been checked (finite, normalised, ranges) but for keys that stand already. */
struct frt_index_ops {
    void (*free)(struct frt_index *index);
    enum frt_status (*add)(struct frt_index *index, size_t n, const uint64_t *keys, const uint32_t *groups,
                           const float *vectors, struct frt_error *err);
    enum frt_status (*remove)(struct frt_index *index, size_t n, const uint64_t *keys, size_t *removed,
                              struct frt_error *err);
    enum frt_status (*search)(struct frt_index *index, const struct frt_index_query *query,
                              struct frt_index_hit *hits, size_t *n_hits, struct frt_error *err);
    struct frt_index_stats (*stats)(struct frt_index *index);
    bool (*wants_maintenance)(struct frt_index *index); /* NULL = never */
    enum frt_status (*maintain)(struct frt_index *index, bool (*stop)(void *arg), void *arg,
                                struct frt_error *err);
    enum frt_status (*save)(struct frt_index *index, const char *path, const struct frt_index_tag *tag,
                            struct frt_error *err);
};

/** One engine: how to make an empty index and how to open a snapshot. */
struct frt_index_driver {
    enum frt_status (*make)(const struct frt_index_options *options, struct frt_index **out,
                            struct frt_error *err);
    enum frt_status (*load)(const struct frt_index_options *options, const char *path,
                            struct frt_index_tag *tag, struct frt_index **out, struct frt_error *err);
};

extern const struct frt_index_driver frt_index_driver_native;
/** Loads the plug-in at the first use. */
extern const struct frt_index_driver frt_index_driver_faiss;

#endif

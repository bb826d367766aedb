/* Faults of the stand-in, and what it was told: frt_faiss_standin(what, value), found with dlsym; value -1
 * reads. */
#ifndef FRT_TESTS_INDEX_FAISS_GPU_STANDIN_H
#define FRT_TESTS_INDEX_FAISS_GPU_STANDIN_H

enum {
    STANDIN_NO_DEVICE = 0,
    STANDIN_CLONE_FAILS,
    STANDIN_SEARCH_FAILS,
    STANDIN_DELAY_MS,   /* of a search */
    STANDIN_TEMP_BYTES, /* only to be read, as all below */
    STANDIN_SEARCHES,
    STANDIN_TOGETHER, /* most calls that were in the device at once */
    STANDIN_LIVE,     /* copies */
    STANDIN_COUNT
};

#endif

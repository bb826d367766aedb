/* Faults that tests set in the stand-in (cuda_emulated.h): frt_emulator_set(fault, value), found with dlsym. */
#ifndef FRT_TESTS_INDEX_EMULATOR_FAULTS_H
#define FRT_TESTS_INDEX_EMULATOR_FAULTS_H

enum {
    EMULATOR_NO_DEVICE = 0,
    EMULATOR_MEMORY,        /* bytes of the device; 0 = 2 GiB */
    EMULATOR_SHARED,        /* block memory, bytes; 0 = a large device's */
    EMULATOR_FAIL_MALLOC,   /* n: the n-th allocation from now on, and all after it, fail; 0 = none */
    EMULATOR_FAIL_COPY,     /* the same for copies */
    EMULATOR_FAIL_LAUNCH,   /* the same for kernels */
    EMULATOR_DELAY_MS,      /* work is not said to be done for so long */
    EMULATOR_WRONG_ANSWERS, /* 1: scores that are not so; 2: positions that do not exist */
    EMULATOR_USED_BYTES,    /* only to be read */
    EMULATOR_FAULTS
};

typedef void frt_emulator_set_fn(int fault, long value);
typedef long frt_emulator_get_fn(int fault);

#endif

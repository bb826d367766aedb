#include "simd/cpu.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

static const char *const tier_names[FRT_SIMD_TIER_COUNT] = {"scalar",     "sse2", "avx2",   "avx512",
                                                            "avx512vnni", "neon", "neondot"};

const char *frt_simd_tier_name(enum frt_simd_tier tier)
{
    return (unsigned)tier < FRT_SIMD_TIER_COUNT ? tier_names[tier] : "unknown";
}

bool frt_simd_tier_parse(const char *word, enum frt_simd_tier *out)
{
    for (int i = 0; word != NULL && i < FRT_SIMD_TIER_COUNT; i++) {
        if (strcmp(word, tier_names[i]) == 0) {
            *out = (enum frt_simd_tier)i;
            return true;
        }
    }
    return false;
}

bool frt_simd_tier_runs(enum frt_simd_tier tier)
{
    switch (tier) {
    case FRT_SIMD_SCALAR:
        return true;
#if defined(__x86_64__)
    case FRT_SIMD_SSE2:
        return true;
    case FRT_SIMD_AVX2: /* the built-in also asks the operating system (XGETBV) */
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case FRT_SIMD_AVX512:
        return frt_simd_tier_runs(FRT_SIMD_AVX2) && __builtin_cpu_supports("avx512f") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl");
    case FRT_SIMD_AVX512VNNI:
        return frt_simd_tier_runs(FRT_SIMD_AVX512) && __builtin_cpu_supports("avx512vnni") &&
               __builtin_cpu_supports("avx512vpopcntdq");
#elif defined(__aarch64__)
    case FRT_SIMD_NEON:
        return true;
    case FRT_SIMD_NEONDOT:
        return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#endif
    default:
        return false;
    }
}

enum frt_simd_tier frt_simd_tier_detected(void)
{
    for (int i = FRT_SIMD_TIER_COUNT - 1; i > 0; i--) {
        if (frt_simd_tier_runs((enum frt_simd_tier)i))
            return (enum frt_simd_tier)i;
    }
    return FRT_SIMD_SCALAR;
}

enum frt_simd_tier frt_simd_tier_active(void)
{
    static _Atomic int active = -1;
    /* relaxed: the word stands for itself, and two threads that race compute the same one */
    int tier = atomic_load_explicit(&active, memory_order_relaxed);
    if (tier < 0) {
        enum frt_simd_tier wanted;
        if (!frt_simd_tier_parse(getenv("FRT_SIMD"), &wanted) || !frt_simd_tier_runs(wanted))
            wanted = frt_simd_tier_detected();
        tier = (int)wanted;
        atomic_store_explicit(&active, tier, memory_order_relaxed);
    }
    return (enum frt_simd_tier)tier;
}

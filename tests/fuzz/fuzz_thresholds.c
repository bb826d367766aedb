/* rooms: cache engine store index model vision infer_remote infer net image simd metrics core */
/*
 * A threshold table: any bytes are read or refused. What is read gives thresholds that rise with the number of
 * people, and can be written and read again.
 */
#include <math.h>
#include <stdlib.h>

#include "engine/threshold_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frt_error err;
    struct frt_threshold_table table;
    struct frt_buf text;
    if (frt_threshold_table_parse((const char *)data, size, &table, &err) != FRT_OK)
        return 0;
    float last = -2;
    for (double people = 1; people < 1e9; people *= 10) {
        const double rate = frt_rate_for_gallery(people, 0.01);
        const float threshold = frt_table_threshold(&table, 2.5, rate, NULL);
        if (!(threshold >= last) || !(frt_table_rate(&table, 2.5, threshold) >= 0))
            abort();
        last = threshold;
    }
    frt_buf_init(&text, (size_t)4 << 20);
    frt_threshold_table_print(&table, true, false, &text);
    if (frt_buf_status(&text) != FRT_OK)
        abort();
    frt_buf_deinit(&text);
    return 0;
}

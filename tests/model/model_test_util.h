/* Folders and limits for the model room's tests. */
#ifndef FRT_TESTS_MODEL_TEST_UTIL_H
#define FRT_TESTS_MODEL_TEST_UTIL_H

#include <stddef.h>

/** cmocka set-up and tear-down: *state is the path of a fresh folder, removed with all in it. */
int model_test_folder_make(void **state);
int model_test_folder_remove(void **state);
/** Files (hidden ones too) in a folder. */
int model_test_count_files(const char *folder);
/** Remove the files of a folder. */
void model_test_folder_empty(const char *folder);
void model_test_write_file(const char *folder, const char *name, const void *bytes, size_t size);
/** No file of this process grows beyond `bytes`, as on a full disk; 0 = lift the limit. */
void model_test_limit_file_size(size_t bytes);

#endif

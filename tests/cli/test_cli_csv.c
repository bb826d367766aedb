/* Comma-separated values, and maps of photos made of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/csv.h"
#include "cli/enroll_list.h"

static char map[] = "/tmp/frt_test_csv_XXXXXX";

/* Records as fields in brackets, line numbers before them: "1[a][b] 2[c]"; of an error its text. */
static const char *records(const char *text, size_t size)
{
    static char out[4096];
    struct frt_error err = {0};
    struct cli_csv csv;
    size_t used = 0;
    bool more = true;
    cli_csv_init(&csv, text, size);
    out[0] = '\0';
    for (;;) {
        if (cli_csv_next(&csv, &more, &err) != FRT_OK) {
            assert_int_equal(err.status, FRT_EBAD_REQUEST);
            (void)snprintf(out, sizeof out, "%s", err.text);
            break;
        }
        if (!more)
            break;
        used += (size_t)snprintf(out + used, sizeof out - used, "%s%zu", used == 0 ? "" : " ", csv.line);
        for (size_t i = 0; i < csv.n_fields; i++)
            used += (size_t)snprintf(out + used, sizeof out - used, "[%s]", csv.fields[i]);
    }
    cli_csv_deinit(&csv);
    return out;
}
#define RECORDS(text) records((text), sizeof(text) - 1)

static void records_as_rfc_4180_has_them(void **state)
{
    (void)state;
    assert_string_equal(RECORDS(""), "");
    assert_string_equal(RECORDS("\n\r\n\n"), "");
    assert_string_equal(RECORDS("a,b\nc,d"), "1[a][b] 2[c][d]");
    assert_string_equal(RECORDS("a,b\r\nc,d\r\n"), "1[a][b] 2[c][d]");
    assert_string_equal(RECORDS("\xEF\xBB\xBF"
                                "a,b\n"),
                        "1[a][b]");
    assert_string_equal(RECORDS("a,,\n,\n"), "1[a][][] 2[][]");
    assert_string_equal(RECORDS("\"a,b\",\"c\"\"d\"\n"), "1[a,b][c\"d]");
    assert_string_equal(RECORDS("\"two\nlines\",x\nnext,y\n"), "1[two\nlines][x] 3[next][y]");
    assert_string_equal(RECORDS("\"\",\"\"\"\"\n"), "1[][\"]");
    assert_string_equal(RECORDS("\n\na\n\nb"), "3[a] 5[b]");
    assert_string_equal(RECORDS(" a , b \n"), "1[ a ][ b ]"); /* blanks are part of a field */
    assert_string_equal(RECORDS("a\rb,c\n"), "1[a\rb][c]");
    assert_string_equal(RECORDS("\"a\""), "1[a]");
}

static void what_is_no_record(void **state)
{
    (void)state;
    static char big[CLI_CSV_MAX_RECORD_BYTES + 100];
    assert_non_null(strstr(RECORDS("a,\"b\nc"), "line 1: a quote is opened and not closed"));
    assert_non_null(strstr(RECORDS("ok\n\"a\"b,c\n"), "line 2: text behind a closing quote"));
    assert_non_null(strstr(RECORDS("a\"b,c\n"), "line 1: a quote amid a field"));
    assert_non_null(strstr(RECORDS("a\0b,c\n"), "NUL"));
    assert_non_null(strstr(RECORDS(",,,,,,,,,,,,,,,,\n"), "more than 16 fields"));
    memset(big, 'x', sizeof big);
    assert_non_null(strstr(records(big, sizeof big), "line 1: longer than"));
}

static void put_map(const char *text)
{
    FILE *file = fopen(map, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void maps_of_photos(void **state)
{
    (void)state;
    struct cli_enroll_list list;
    struct frt_error err;
    put_map("path,subject,face_id\na.jpg,Anna\n/abs/b.jpg,\"Bert, Jr.\",b1\nsub/c.jpg,Anna,\n");
    assert_int_equal(cli_enroll_list_csv(map, &list, &err), FRT_OK);
    assert_int_equal(list.n, 3);
    assert_string_equal(list.items[0].path, "/tmp/a.jpg"); /* from the map's folder */
    assert_string_equal(list.items[1].path, "/abs/b.jpg");
    assert_string_equal(list.items[2].path, "/tmp/sub/c.jpg");
    assert_string_equal(list.items[1].subject, "Bert, Jr.");
    assert_string_equal(list.items[1].face_id, "b1");
    assert_null(list.items[0].face_id);
    assert_null(list.items[2].face_id);
    cli_enroll_list_deinit(&list);
    put_map("path,subject\r\n"); /* a heading alone */
    assert_int_equal(cli_enroll_list_csv(map, &list, &err), FRT_EBAD_REQUEST);
    put_map("a.jpg,Anna\n\nb.jpg\n");
    assert_int_equal(cli_enroll_list_csv(map, &list, &err), FRT_EBAD_REQUEST);
    assert_non_null(strstr(err.text, map));
    assert_non_null(strstr(err.text, "line 3: 1 field; path,subject[,face_id] is right"));
    put_map("a.jpg,Anna,1,2\n");
    assert_int_equal(cli_enroll_list_csv(map, &list, &err), FRT_EBAD_REQUEST);
    put_map("a.jpg,\n");
    assert_int_equal(cli_enroll_list_csv(map, &list, &err), FRT_EBAD_REQUEST);
    assert_non_null(strstr(err.text, "the subject is empty"));
    put_map("");
    assert_int_equal(cli_enroll_list_csv(map, &list, &err), FRT_EBAD_REQUEST);
    assert_int_equal(cli_enroll_list_csv("/nonexistent/map.csv", &list, &err), FRT_ENOTFOUND);
    assert_int_equal(cli_enroll_list_csv("/tmp", &list, &err), FRT_EIO);
}

static void put_photo(const char *folder, const char *name)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite("\xFF\xD8\xFF\xE0", 1, 4, file), 4); /* a JPEG by its first bytes */
    assert_int_equal(fclose(file), 0);
}

static void folders_name_people(void **state)
{
    (void)state;
    char folder[] = "/tmp/frt_test_tree_XXXXXX", path[512], slashed[64];
    struct cli_enroll_list list;
    struct frt_error err;
    static const char *const places[] = {"", "Anna", "Anna/2024", "Bert B"};
    assert_non_null(mkdtemp(folder));
    for (size_t i = 0; i < 4; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, places[i]);
        assert_true(i == 0 || mkdir(path, 0700) == 0);
        put_photo(path, "x.jpg");
    }
    (void)snprintf(slashed, sizeof slashed, "%s//", folder);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(cli_enroll_list_folder(i == 0 ? folder : slashed, &list, &err), FRT_OK);
        assert_int_equal(list.n, 4);
        assert_string_equal(list.items[0].subject, "Anna"); /* Anna/2024/x.jpg */
        assert_string_equal(list.items[1].subject, "Anna");
        assert_string_equal(list.items[2].subject, "Bert B");
        assert_string_equal(list.items[3].subject, ""); /* in nobody's folder */
        cli_enroll_list_deinit(&list);
    }
    for (size_t i = 4; i-- > 0;) {
        (void)snprintf(path, sizeof path, "%s/%s/x.jpg", folder, places[i]);
        assert_int_equal(unlink(path), 0);
        (void)snprintf(path, sizeof path, "%s/%s", folder, places[i]);
        assert_int_equal(rmdir(path), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_as_rfc_4180_has_them),
        cmocka_unit_test(what_is_no_record),
        cmocka_unit_test(maps_of_photos),
        cmocka_unit_test(folders_name_people),
    };
    int fd = mkstemp(map);
    if (fd < 0)
        return 1;
    (void)close(fd);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)unlink(map);
    return failed;
}

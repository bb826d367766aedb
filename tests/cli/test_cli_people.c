/*
 * Enrolling and searching as a newcomer would, on real photos with the real pack: a folder tree, who is this, a
 * stranger; failures and their report; interrupts and going on; maps; import and export. Skipped where the pack
 * or the photos are absent.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <math.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/cli_runner.h"
#include "core/json_read.h"
#include "core/sha256.h"
#include "image/jpeg_write.h"

enum { GREY_PX = 160, INTERRUPTED_PHOTOS = 12 };

static char faces[1024]; /* folder of photos: NAME/NAME_0001.jpg */

/* ----------------------------------------------------------------- helpers */

static const char *photo(const char *name, int number)
{
    static char paths[8][1280];
    static unsigned next;
    char *path = paths[next++ % 8];
    (void)snprintf(path, sizeof paths[0], "%s/%s/%s_%04d.jpg", faces, name, name, number);
    return path;
}

/* A copy of the photo with `extra` behind its end: the same picture, other bytes. */
static void copy_photo(const char *from, const char *to, const char *extra)
{
    size_t size = 0, more = strlen(extra);
    char *bytes = cli_get(from, &size);
    assert_non_null(bytes);
    char *longer = realloc(bytes, size + more + 1);
    assert_non_null(longer);
    memcpy(longer + size, extra, more + 1);
    cli_put(to, longer, size + more);
    free(longer);
}

static void blank_photo(const char *path)
{
    static uint8_t pixels[GREY_PX * GREY_PX * 3];
    uint8_t *bytes = NULL;
    size_t size = 0;
    memset(pixels, 128, sizeof pixels);
    assert_int_equal(frt_jpeg_encode(pixels, GREY_PX, GREY_PX, GREY_PX * 3, 90, &bytes, &size, NULL), FRT_OK);
    cli_put(path, bytes, size);
    frt_jpeg_bytes_free(bytes);
}

static void make_folder(const char *path)
{
    assert_int_equal(mkdir(path, 0700), 0);
}

/* A database of its own for a test, for all programs it runs. */
static void use_database(const char *name)
{
    (void)setenv("FRT_DATABASE", cli_work(name), 1);
}

static size_t count_lines(const char *text)
{
    size_t n = 0;
    for (; *text != '\0'; text++)
        n += *text == '\n';
    return n;
}

/* Line `number` (from 0; -1 = the last) of the text as JSON. */
static struct frt_json *json_line(const char *text, int number)
{
    struct frt_json *json = NULL;
    struct frt_error err = {0};
    size_t n = number < 0 ? count_lines(text) - 1 : (size_t)number;
    for (; n > 0 && *text != '\0'; n--) {
        text += strcspn(text, "\n");
        text += *text == '\n';
    }
    if (frt_json_parse(text, strcspn(text, "\n"), &json, &err) != FRT_OK)
        fail_msg("no JSON: %s: %.200s", err.text, text);
    return json;
}

/* A number of the summary in the last line. */
static double summary(const char *text, const char *key)
{
    struct frt_json *json = json_line(text, -1);
    const struct frt_json_value *value = frt_json_get(frt_json_get(frt_json_root(json), "summary"), key);
    double number =
        frt_json_is_bool(value) ? (double)frt_json_truth(value, false) : frt_json_double(value, (double)NAN);
    frt_json_free(json);
    return number;
}
#define assert_summary(text, key, number)                                                                      \
    do {                                                                                                       \
        if (summary((text), (key)) != (number))                                                                \
            fail_msg("%s is %g, not %g: %s", (key), summary((text), (key)), (double)(number), (text));         \
    } while (0)

/* Text of error.code in a line. */
static void assert_code(const char *text, int line, const char *code)
{
    struct frt_json *json = json_line(text, line);
    const char *found = frt_json_text(frt_json_get(frt_json_get(frt_json_root(json), "error"), "code"));
    if (found == NULL || strcmp(found, code) != 0)
        fail_msg("line %d: code %s instead of %s: %s", line, found == NULL ? "none" : found, code, text);
    frt_json_free(json);
}

/* ---------------------------------------------------------------- a newcomer */

/* people/Anna/1.jpg, people/Anna/later/2.jpg, people/Bert B/1.jpg, people/Bert B/2.jpg */
static const char *people(void)
{
    static char root[256];
    char path[512];
    (void)snprintf(root, sizeof root, "%s", cli_work("people"));
    if (mkdir(root, 0700) != 0)
        return root;
    (void)snprintf(path, sizeof path, "%s/Anna", root);
    make_folder(path);
    (void)snprintf(path, sizeof path, "%s/Anna/later", root);
    make_folder(path);
    (void)snprintf(path, sizeof path, "%s/Bert B", root);
    make_folder(path);
    (void)snprintf(path, sizeof path, "%s/Anna/1.jpg", root);
    copy_photo(photo("Ai_Sugiyama", 1), path, "");
    (void)snprintf(path, sizeof path, "%s/Anna/later/2.jpg", root);
    copy_photo(photo("Ai_Sugiyama", 2), path, "");
    (void)snprintf(path, sizeof path, "%s/Bert B/1.jpg", root);
    copy_photo(photo("Alan_Greenspan", 1), path, "");
    (void)snprintf(path, sizeof path, "%s/Bert B/2.jpg", root);
    copy_photo(photo("Alan_Greenspan", 2), path, "");
    return root;
}

static void a_folder_is_enrolled_and_people_are_known(void **state)
{
    (void)state;
    char blank[256];
    use_database("newcomer.db");
    struct cli_result r = CLI_RUN(NULL, "enroll", "friends", "--from", people());
    cli_expect(&r, 0, NULL);
    assert_string_equal(r.out, "collection 'friends' is new\n"
                               "4 photos enrolled; collection 'friends' has 4 faces of 2 people\n");
    r = CLI_RUN(NULL, "search", "friends", photo("Alan_Greenspan", 3));
    cli_expect(&r, 0, NULL);
    assert_int_equal(strncmp(r.out, "Bert B  similarity 0.", 21), 0);
    r = CLI_RUN(NULL, "search", "friends", photo("Adam_Ant", 1));
    cli_expect(&r, 8, NULL);
    assert_int_equal(strncmp(r.out, "unknown  ", 9), 0);

    r = CLI_RUN(NULL, "search", "friends", "--json", "--candidates", "-k", "2", photo("Alan_Greenspan", 3),
                photo("Adam_Ant", 1));
    cli_expect(&r, 8, NULL);
    assert_int_equal(count_lines(r.out), 2);
    for (int i = 0; i < 2; i++) {
        struct frt_json *json = json_line(r.out, i);
        const struct frt_json_value *face = frt_json_first(frt_json_get(frt_json_root(json), "faces"));
        const struct frt_json_value *matches = frt_json_get(face, "matches"), *first = frt_json_first(matches);
        assert_string_equal(frt_json_text(frt_json_get(face, "decision")), i == 0 ? "match" : "unknown");
        assert_int_equal(frt_json_count(matches), 2); /* a subject once */
        assert_int_equal(frt_json_truth(frt_json_get(first, "match"), i == 1), i == 0);
        if (i == 0)
            assert_string_equal(frt_json_text(frt_json_get(first, "subject")), "Bert B");
        const char *file = frt_json_text(frt_json_get(frt_json_get(first, "metadata"), "file"));
        assert_non_null(strstr(file, people()));
        frt_json_free(json);
    }

    /* what could not be judged weighs more than a stranger, and no face more than that */
    (void)snprintf(blank, sizeof blank, "%s", cli_work("blank.jpg"));
    blank_photo(blank);
    r = CLI_RUN(NULL, "search", "friends", photo("Adam_Ant", 1), blank);
    cli_expect(&r, 4, NULL);
    assert_non_null(strstr(r.out, "no face  "));
    r = CLI_RUN(NULL, "search", "friends", photo("Adam_Ant", 1), "/nonexistent.jpg");
    cli_expect(&r, 3, "/nonexistent.jpg");
    r = CLI_RUN(NULL, "search", "enemies", photo("Adam_Ant", 1));
    cli_expect(&r, 3, "enemies");
    r = CLI_RUN(NULL, "search", "friends", "--threshold", "0.99", photo("Alan_Greenspan", 3));
    cli_expect(&r, 8, NULL);
    r = CLI_RUN(NULL, "search", "friends", "--score", "average", photo("Alan_Greenspan", 3));
    cli_expect(&r, 2, "--score is 'average'; best or fused is right");
    static const char *const scores[] = {"best", "fused"};
    for (size_t i = 0; i < 2; i++) {
        r = CLI_RUN(NULL, "search", "friends", "--score", scores[i], photo("Alan_Greenspan", 3));
        cli_expect(&r, 0, NULL);
    }
    /* two people in one photo, nobody of them known */
    r = CLI_RUN(NULL, "search", "friends", "--max-faces", "9", photo("Alex_Sink", 1));
    cli_expect(&r, 8, NULL);
    assert_int_equal(count_lines(r.out), 2);
}

/* Goes on with what the test before has enrolled. */
static void what_is_enrolled_can_be_listed_renamed_and_deleted(void **state)
{
    (void)state;
    char id[64], digest[FRT_SHA256_HEX_SIZE];
    use_database("newcomer.db");
    assert_int_equal(frt_sha256_file(photo("Ai_Sugiyama", 1), digest, NULL), FRT_OK);
    struct cli_result r = CLI_RUN(NULL, "faces", "list", "friends", "--subject", "Anna", "--json");
    cli_expect(&r, 0, NULL);
    assert_int_equal(count_lines(r.out), 2);
    assert_non_null(strstr(r.out, digest));
    assert_null(strstr(r.out, "embedding"));
    (void)snprintf(id, sizeof id, "%.20s", digest);
    r = CLI_RUN(NULL, "faces", "list", "friends");
    cli_expect(&r, 0, NULL);
    assert_int_equal(count_lines(r.out), 5);
    assert_non_null(strstr(r.out, id));
    r = CLI_RUN(NULL, "faces", "list", "friends", "--json", "--embeddings", "--encoding", "base64");
    assert_non_null(strstr(r.out, "\"embedding\":\""));
    r = CLI_RUN(NULL, "subjects", "list", "friends", "--json");
    cli_expect(&r, 0, NULL);
    assert_int_equal(strncmp(r.out, "{\"subject\":\"Anna\",\"faces\":2,", 28), 0);
    r = CLI_RUN(NULL, "subjects", "rename", "friends", "Bert B", "Anna");
    cli_expect(&r, 1, "Anna");
    r = CLI_RUN(NULL, "subjects", "rename", "friends", "Bert B", "Bertha");
    cli_expect(&r, 0, NULL);
    r = CLI_RUN(NULL, "search", "friends", photo("Alan_Greenspan", 3));
    cli_expect(&r, 0, NULL);
    assert_int_equal(strncmp(r.out, "Bertha  ", 8), 0);
    r = CLI_RUN(NULL, "faces", "delete", "friends", "nonsense", id);
    cli_expect(&r, 3, "nonsense");
    assert_non_null(strstr(r.out, id));
    r = CLI_RUN(NULL, "subjects", "delete", "friends", "Bertha");
    cli_expect(&r, 0, NULL);
    r = CLI_RUN(NULL, "search", "friends", photo("Alan_Greenspan", 3));
    cli_expect(&r, 8, NULL);
    r = CLI_RUN(NULL, "subjects", "delete", "friends", "Bertha");
    cli_expect(&r, 3, "Bertha");
    r = CLI_RUN(NULL, "rebuild", "friends", "--json");
    cli_expect(&r, 0, NULL);
    assert_non_null(strstr(r.out, "\"state\":\"done\",\"done\":1,\"total\":1"));
    r = CLI_RUN(NULL, "search", "friends", photo("Ai_Sugiyama", 3));
    cli_expect(&r, 0, NULL);
    r = CLI_RUN(NULL, "rebuild", "enemies");
    cli_expect(&r, 3, "enemies");
}

/* ------------------------------------------------------------------ failures */

static void failures_are_told_and_the_rest_goes_on(void **state)
{
    (void)state;
    char root[256], report[256], path[512];
    use_database("failures.db");
    (void)snprintf(root, sizeof root, "%s", cli_work("mixed"));
    (void)snprintf(report, sizeof report, "%s", cli_work("report.ndjson"));
    make_folder(root);
    static const char *const folders[] = {"A", "B", "C", "D"};
    for (size_t i = 0; i < 4; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", root, folders[i]);
        make_folder(path);
    }
    (void)snprintf(path, sizeof path, "%s/A/blank.jpg", root);
    blank_photo(path);
    (void)snprintf(path, sizeof path, "%s/A/broken.jpg", root);
    cli_put(path, "\xFF\xD8\xFF\xE0 no more", 12);
    (void)snprintf(path, sizeof path, "%s/B/two.jpg", root);
    copy_photo(photo("Alex_Sink", 1), path, "");
    (void)snprintf(path, sizeof path, "%s/C/good.jpg", root);
    copy_photo(photo("Al_Gore", 1), path, "");
    (void)snprintf(path, sizeof path, "%s/D/same.jpg", root);
    copy_photo(photo("Al_Gore", 1), path, "");
    (void)snprintf(path, sizeof path, "%s/nobody.jpg", root);
    copy_photo(photo("Al_Gore", 2), path, "");
    /* one at a time, so that it is certain which of the two that are the same is first */
    struct cli_result r =
        CLI_RUN(NULL, "enroll", "c", "--from", root, "--report", report, "--jobs", "1", "--quiet");
    cli_expect(&r, 4, "no face found");
    assert_non_null(strstr(r.out, "1 photo enrolled, 5 failed; collection 'c' has 1 face of 1 person\n"));
    assert_int_equal(count_lines(r.err), 5);
    char *text = cli_get(report, NULL);
    assert_non_null(text);
    assert_int_equal(count_lines(text), 6);
    static const char *const codes[] = {"no_face", "bad_image", "multiple_faces", "conflict", "bad_request"};
    for (int i = 0; i < 5; i++)
        assert_code(text, i, codes[i]);
    assert_summary(text, "enrolled", 1);
    assert_summary(text, "failed", 5);
    assert_summary(text, "created", 1);
    free(text);
    r = CLI_RUN(NULL, "enroll", "c", "--from", root, "--report", report);
    cli_expect(&r, 1, "exists already; --force replaces it");
    r = CLI_RUN(NULL, "enroll", "c", "--from", root, "--report", report, "--force", "--json");
    assert_int_equal(r.code, 4);
    assert_int_equal(count_lines(r.out), 7);
    assert_summary(r.out, "already", 1);
    assert_summary(r.out, "photos", 6);

    r = CLI_RUN(NULL, "enroll", "c", "--min-quality", "0.99", "-s", "E", photo("Al_Gore", 2));
    cli_expect(&r, 3, "quality 0.");
    r = CLI_RUN(NULL, "enroll", "c", "--on-duplicate", "reject", "--on-multiple", "largest", "-s", "E",
                photo("Al_Gore", 3));
    cli_expect(&r, 3, "the person is in the collection");
    r = CLI_RUN(NULL, "enroll", "c", "--on-multiple", "all", "-s", "E", photo("Alex_Sink", 1));
    cli_expect(&r, 0, NULL);
    assert_non_null(strstr(r.out, "collection 'c' has 3 faces of 2 people"));
    r = CLI_RUN(NULL, "enroll", "c", "--on-multiple", "all", "-s", "E", photo("Alex_Sink", 1));
    cli_expect(&r, 0, NULL);
    assert_non_null(strstr(r.out, "1 enrolled already; collection 'c' has 3 faces of 2 people"));
    r = CLI_RUN(NULL, "enroll", "c", "--on-multiple", "largest", "--metadata", "{\"badge\":7}", "--face-id",
                "e9", "-s", "E", photo("Alex_Sink", 2));
    cli_expect(&r, 0, NULL);
    r = CLI_RUN(NULL, "faces", "list", "c", "--subject", "E", "--json");
    assert_non_null(strstr(r.out, "\"face_id\":\"e9\""));
    assert_non_null(strstr(r.out, "\"metadata\":{\"badge\":7,\"file\":"));
}

/* Refused photos are known again by their bytes, as long as the same would decide; whatever lies in the file.
 */
static void what_was_refused_is_not_looked_at_again(void **state)
{
    static const char rubbish[] = "0123456789abcdef0123456789abcdef \n\n \n\0\xFF garbage\n";
    (void)state;
    char root[256], path[512], memory[512];
    use_database("again.db");
    (void)snprintf(root, sizeof root, "%s", cli_work("again"));
    (void)snprintf(memory, sizeof memory, "%s.refused", cli_work("again.db"));
    make_folder(root);
    (void)snprintf(path, sizeof path, "%s/A", root);
    make_folder(path);
    (void)snprintf(path, sizeof path, "%s/A/blank.jpg", root);
    blank_photo(path);
    (void)snprintf(path, sizeof path, "%s/A/broken.jpg", root);
    cli_put(path, "\xFF\xD8\xFF\xE0 no more", 12);
    (void)snprintf(path, sizeof path, "%s/A/good.jpg", root);
    copy_photo(photo("Al_Gore", 1), path, "");
    struct cli_result r = CLI_RUN(NULL, "enroll", "c", "--from", root, "--json", "--jobs", "1");
    assert_int_equal(r.code, 4);
    assert_summary(r.out, "enrolled", 1);
    assert_summary(r.out, "failed", 2);
    assert_summary(r.out, "remembered", 0);
    r = CLI_RUN(NULL, "enroll", "c", "--from", root, "--json", "--jobs", "1");
    assert_int_equal(r.code, 4); /* as if they had been looked at */
    assert_code(r.out, 0, "no_face");
    assert_code(r.out, 1, "bad_image");
    assert_summary(r.out, "already", 1);
    assert_summary(r.out, "failed", 2);
    assert_summary(r.out, "remembered", 2);
    r = CLI_RUN(NULL, "enroll", "other", "--from", root, "--jobs", "1"); /* it lies in the photo, not here */
    cli_expect(&r, 4, "blank.jpg: no face found");
    assert_non_null(strstr(r.out, "2 failed (2 as before: --again looks at them again); collection"));
    r = CLI_RUN(NULL, "enroll", "c", "--from", root, "--json", "--again");
    assert_summary(r.out, "failed", 2);
    assert_summary(r.out, "remembered", 0);
    r = CLI_RUN(NULL, "enroll", "c", "--from", root, "--json", "--min-quality", "0.01"); /* another rule */
    assert_summary(r.out, "failed", 2);
    assert_summary(r.out, "remembered", 0);
    r = CLI_RUN(NULL, "enroll", "c", path, "-s", "A", "--json"); /* named outright */
    assert_summary(r.out, "already", 1);
    /* a file that was cut off amid a line, and one of rubbish */
    size_t size = 0;
    char *text = cli_get(memory, &size);
    assert_non_null(text);
    cli_put(memory, text, (size_t)(strchr(text, '\n') - text) + 20);
    free(text);
    r = CLI_RUN(NULL, "enroll", "c", "--from", root, "--json");
    assert_summary(r.out, "failed", 2);
    assert_summary(r.out, "remembered", 1);
    cli_put(memory, rubbish, sizeof rubbish - 1);
    r = CLI_RUN(NULL, "enroll", "c", "--from", root, "--json");
    assert_int_equal(r.code, 4);
    assert_summary(r.out, "failed", 2);
    assert_summary(r.out, "remembered", 0);
}

static void what_cannot_work_is_refused_before_anything_is_made(void **state)
{
    (void)state;
    use_database("refused.db");
    const char *p = photo("Al_Gore", 1);
    const struct {
        const char *piece;
        const char *words[12]; /* the rest are NULL: the end */
    } calls[] = {
        {"no photo is named", {"enroll", "c"}},
        {"whose photos are these?", {"enroll", "c", p}},
        {"named in two ways", {"enroll", "c", p, "-s", "A", "--from", faces}},
        {"--subject is for photos named outright", {"enroll", "c", "--from", faces, "-s", "A"}},
        {"--face-id fits one photo", {"enroll", "c", "--face-id", "x", "-s", "A", p, p}},
        {"--on-multiple is 'some'; clear, reject, largest or all is right",
         {"enroll", "c", p, "-s", "A", "--on-multiple", "some"}},
        {"--metadata", {"enroll", "c", p, "-s", "A", "--metadata", "[]"}},
        {"--min-quality is '2'", {"enroll", "c", p, "-s", "A", "--min-quality", "2"}},
        {"../c", {"enroll", "../c", p, "-s", "A"}},
    };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        struct cli_result r = cli_run_words(NULL, calls[i].words);
        cli_expect(&r, 2, calls[i].piece);
    }
    /* a wrong name of a collection is known by the database alone; none was made in it */
    struct cli_result r = CLI_RUN(NULL, "collections", "list", "--json");
    cli_expect(&r, 0, NULL);
    assert_string_equal(r.out, "");
}

/* -------------------------------------------------------------- interruptions */

/* The first photo is broken: once that is told, the work on the others is under way. */
static void an_interrupted_enrollment_goes_on(void **state)
{
    (void)state;
    char root[256], report[256], path[512], extra[16];
    use_database("interrupted.db");
    (void)snprintf(root, sizeof root, "%s", cli_work("long"));
    (void)snprintf(report, sizeof report, "%s", cli_work("interrupted.ndjson"));
    make_folder(root);
    (void)snprintf(path, sizeof path, "%s/Anna", root);
    make_folder(path);
    (void)snprintf(path, sizeof path, "%s/Anna/00.jpg", root);
    cli_put(path, "\xFF\xD8\xFF\xE0 no more", 12);
    for (int i = 1; i <= INTERRUPTED_PHOTOS; i++) {
        (void)snprintf(path, sizeof path, "%s/Anna/%02d.jpg", root, i);
        (void)snprintf(extra, sizeof extra, "%d", i);
        copy_photo(photo("Ai_Sugiyama", 1), path, extra);
    }
    const struct cli_setting interrupt = {.when_said = "00.jpg", .signal = SIGINT},
                             kill_it = {.when_said = "00.jpg", .signal = SIGKILL};
    struct cli_result r = CLI_RUN(&interrupt, "enroll", "c", "--from", root, "--report", report, "--jobs", "1");
    cli_expect(&r, 130, "interrupted; the same command goes on from here");
    char *text = cli_get(report, NULL);
    assert_non_null(text);
    assert_summary(text, "interrupted", 1);
    double before = summary(text, "enrolled");
    assert_true(before < INTERRUPTED_PHOTOS);
    assert_code(text, 0, "bad_image");
    free(text);
    r = CLI_RUN(&kill_it, "enroll", "c", "--from", root, "--jobs", "1");
    assert_int_equal(r.code, 128 + SIGKILL);
    r = CLI_RUN(NULL, "enroll", "c", "--from", root, "--json");
    assert_int_equal(r.code, 3);
    assert_summary(r.out, "created", 0);
    assert_true(summary(r.out, "already") >= before);
    assert_true(summary(r.out, "already") + summary(r.out, "enrolled") == INTERRUPTED_PHOTOS);
    r = CLI_RUN(NULL, "faces", "list", "c", "--json");
    assert_int_equal(count_lines(r.out), INTERRUPTED_PHOTOS);
}

/* ----------------------------------------------------------------------- maps */

static void a_map_names_photos_subjects_and_ids(void **state)
{
    (void)state;
    char map[256], text[4096];
    use_database("map.db");
    (void)snprintf(map, sizeof map, "%s", cli_work("map.csv"));
    copy_photo(photo("Al_Gore", 1), cli_work("beside.jpg"), "");
    (void)snprintf(text, sizeof text,
                   "path,subject,face_id\r\nbeside.jpg,\"Bert, \"\"B\"\"\"\r\n%s,Anna,a-1\r\n",
                   photo("Ai_Sugiyama", 1));
    cli_put(map, text, strlen(text));
    struct cli_result r = CLI_RUN(NULL, "enroll", "c", "--csv", map, "--quiet");
    cli_expect(&r, 0, NULL);
    assert_non_null(strstr(r.out, "2 photos enrolled; collection 'c' has 2 faces of 2 people"));
    r = CLI_RUN(NULL, "enroll", "c", "--csv", map, "--json");
    cli_expect(&r, 0, NULL);
    assert_summary(r.out, "already", 2);
    r = CLI_RUN(NULL, "subjects", "list", "c");
    assert_non_null(strstr(r.out, "Bert, \"B\"\n"));
    /* an id that stands for another photo */
    (void)snprintf(text, sizeof text, "%s,Anna,a-1\n", photo("Ai_Sugiyama", 2));
    cli_put(map, text, strlen(text));
    r = CLI_RUN(NULL, "enroll", "c", "--csv", map);
    cli_expect(&r, 1, "face id 'a-1' stands already, for another photo, of 'Anna'");
    cli_put(map, "a.jpg,Anna\nb.jpg\n", 17);
    r = CLI_RUN(NULL, "enroll", "c", "--csv", map);
    cli_expect(&r, 3, "map.csv: line 2: 1 field");
    const struct cli_setting from_pipe = {.input = map};
    (void)snprintf(text, sizeof text, "%s,Cleo\n", photo("Alan_Greenspan", 1));
    cli_put(map, text, strlen(text));
    r = CLI_RUN(&from_pipe, "enroll", "c", "--csv", "-");
    cli_expect(&r, 0, NULL);
}

/* ----------------------------------------------------------- import and export */

static void faces_go_out_and_come_back(void **state)
{
    (void)state;
    char file[256], again[256];
    struct stat st;
    use_database("ndjson.db");
    (void)snprintf(file, sizeof file, "%s", cli_work("out.ndjson"));
    (void)snprintf(again, sizeof again, "%s", cli_work("again.ndjson"));
    struct cli_result r = CLI_RUN(NULL, "enroll", "a", "--from", people());
    cli_expect(&r, 0, NULL);
    r = CLI_RUN(NULL, "export", "ndjson", "a", file);
    cli_expect(&r, 0, NULL);
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    r = CLI_RUN(NULL, "export", "ndjson", "a", file);
    cli_expect(&r, 1, "--force");
    r = CLI_RUN(NULL, "import", "ndjson", "b", file, "--json");
    cli_expect(&r, 0, NULL);
    assert_non_null(
        strstr(r.out, "{\"collection\":\"b\",\"created\":true,\"imported\":4,\"lines\":4,\"rejected\":[]}"));
    r = CLI_RUN(NULL, "search", "b", photo("Alan_Greenspan", 3));
    cli_expect(&r, 0, NULL);
    assert_int_equal(strncmp(r.out, "Bert B  ", 8), 0);
    /* the copy's export says the same of every face, but its number and time */
    r = CLI_RUN(NULL, "export", "ndjson", "b", again);
    cli_expect(&r, 0, NULL);
    char *first = cli_get(file, NULL), *second = cli_get(again, NULL);
    assert_true(first != NULL && second != NULL);
    assert_int_equal(count_lines(first), 4);
    for (int i = 0; i < 4; i++) {
        static const char *const keys[] = {"face_id", "subject", "embedding"};
        struct frt_json *one = json_line(first, i), *other = json_line(second, i);
        for (size_t k = 0; k < 3; k++)
            assert_string_equal(frt_json_text(frt_json_get(frt_json_root(one), keys[k])),
                                frt_json_text(frt_json_get(frt_json_root(other), keys[k])));
        const struct frt_json_value *metadata = frt_json_get(frt_json_root(other), "metadata");
        assert_int_equal(strlen(frt_json_text(frt_json_get(metadata, "sha256"))), 64);
        frt_json_free(one);
        frt_json_free(other);
    }
    /* from a pipe; a bad line, then those that stand already, without their ids */
    char *text = malloc(strlen(first) + 100);
    assert_non_null(text);
    (void)sprintf(text, "{\"subject\":\"Anna\"}\n%s", first);
    cli_put(again, text, strlen(text));
    free(text);
    const struct cli_setting pipe = {.input = again};
    r = CLI_RUN(&pipe, "import", "ndjson", "b", "-");
    cli_expect(&r, 3, "-:1: embedding is missing");
    assert_non_null(strstr(r.err, "-:2: face id"));
    assert_non_null(strstr(r.out, "0 faces imported, 5 lines rejected\n"));
    r = CLI_RUN(NULL, "export", "ndjson", "b");
    cli_expect(&r, 0, NULL);
    assert_int_equal(count_lines(r.out), 4);
    r = CLI_RUN(NULL, "export", "ndjson", "b", "-");
    cli_expect(&r, 0, NULL);
    assert_int_equal(count_lines(r.out), 4);
    assert_int_not_equal(access("-", F_OK), 0);
    r = CLI_RUN(NULL, "import", "ndjson", "b", file, "--model", "another 1", "--dim", "128");
    cli_expect(&r, 6, "another 1");
    r = CLI_RUN(NULL, "import", "ndjson", "b", file, "--model", "another 1");
    cli_expect(&r, 2, "--model and --dim go together");
    r = CLI_RUN(NULL, "import", "ndjson", "b", "/nonexistent.ndjson");
    cli_expect(&r, 3, "/nonexistent.ndjson");
    /* what is wrong with every photo is told once, and ends the work */
    r = CLI_RUN(NULL, "import", "ndjson", "z", file, "--model", "another 1", "--dim", "128");
    cli_expect(&r, 0, NULL);
    r = CLI_RUN(NULL, "enroll", "z", "--json", "--jobs", "1", "-s", "Cleo", photo("Al_Gore", 1),
                photo("Al_Gore", 2));
    cli_expect(&r, 6, "collection 'z' holds embeddings of another 1");
    assert_summary(r.out, "failed", 1);
    assert_non_null(strstr(r.out, "\"interrupted\":false,\"error\":{\"code\":\"model_mismatch\""));
    r = CLI_RUN(NULL, "search", "z", photo("Alan_Greenspan", 3));
    cli_expect(&r, 6, "another 1");
    r = CLI_RUN(NULL, "export", "ndjson", "enemies", file, "--force");
    cli_expect(&r, 3, "enemies");
    text = cli_get(file, NULL);
    assert_non_null(text);
    assert_string_equal(text, first); /* an export that fails replaces nothing */
    free(text);
    free(first);
    free(second);
}

/* Goes on with what the test before has enrolled. */
static void galleries_of_the_older_service(void **state)
{
    (void)state;
    char folder[256];
    use_database("ndjson.db");
    (void)snprintf(folder, sizeof folder, "%s", cli_work("older"));
    struct cli_result r = CLI_RUN(NULL, "export", "faiss", "a", folder);
    cli_expect(&r, 0, NULL);
    assert_int_equal(strncmp(r.out, "4 faces written to ", 19), 0);
    char *list = cli_get(cli_work("older/a.json"), NULL);
    assert_non_null(list);
    assert_non_null(strstr(list, "\"at_threshold\":0.3}")); /* not 0.30000001 */
    free(list);
    r = CLI_RUN(NULL, "export", "faiss", "a", folder);
    cli_expect(&r, 1, "a.index exists already; --force replaces it");
    r = CLI_RUN(NULL, "export", "faiss", "a", folder, "--force", "--json");
    cli_expect(&r, 0, NULL);
    r = CLI_RUN(NULL, "export", "faiss", "enemies", cli_work("never"));
    cli_expect(&r, 3, "enemies");
    assert_int_not_equal(access(cli_work("never"), F_OK), 0);
    use_database("older.db");
    r = CLI_RUN(NULL, "import", "faiss", folder, "--json");
    cli_expect(&r, 0, NULL);
    assert_non_null(
        strstr(r.out, "{\"collections\":1,\"faces\":4,\"imported\":4,\"already\":0,\"rejected\":[]}"));
    r = CLI_RUN(NULL, "search", "a", photo("Alan_Greenspan", 3));
    cli_expect(&r, 0, NULL);
    assert_int_equal(strncmp(r.out, "Bert B", 6), 0);
    r = CLI_RUN(NULL, "import", "faiss", folder);
    cli_expect(&r, 0, NULL);
    assert_string_equal(r.out, "1 collection read, 0 faces imported, 4 there already\n");
    r = CLI_RUN(NULL, "import", "faiss", folder, "--model", "another 1");
    cli_expect(&r, 6, "another 1");
    r = CLI_RUN(NULL, "import", "faiss", folder, "--collection", "enemies");
    cli_expect(&r, 3, "enemies");
    use_database("none.db");
    r = CLI_RUN(NULL, "import", "faiss", "/nonexistent");
    cli_expect(&r, 3, "/nonexistent");
    assert_int_not_equal(access(cli_work("none.db"), F_OK), 0);
}

int main(int argc, char **argv)
{
    static char manifest[1024];
    const char *pack = getenv("FRT_TEST_PACK"), *assets = getenv("FRT_TEST_ASSETS");
    if (pack == NULL)
        pack = "data/packs/default";
    if (assets == NULL)
        assets = "../shared/assets";
    (void)snprintf(manifest, sizeof manifest, "%s/manifest.json", pack);
    char *whole = realpath(assets, NULL); /* maps name photos from their own folder */
    (void)snprintf(faces, sizeof faces, "%s/faces/lfw-dev", whole == NULL ? assets : whole);
    free(whole);
    if (access(manifest, R_OK) != 0) {
        (void)printf("SKIP: no model pack in %s ('make pack' makes it)\n", pack);
        return 77;
    }
    if (access(photo("Alan_Greenspan", 3), R_OK) != 0) {
        (void)printf("SKIP: no photos in %s (FRT_TEST_ASSETS)\n", faces);
        return 77;
    }
    cli_runner_init(argc, argv);
    (void)setenv("FRT_PACK", pack, 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_is_enrolled_and_people_are_known),
        cmocka_unit_test(what_is_enrolled_can_be_listed_renamed_and_deleted),
        cmocka_unit_test(failures_are_told_and_the_rest_goes_on),
        cmocka_unit_test(what_was_refused_is_not_looked_at_again),
        cmocka_unit_test(what_cannot_work_is_refused_before_anything_is_made),
        cmocka_unit_test(an_interrupted_enrollment_goes_on),
        cmocka_unit_test(a_map_names_photos_subjects_and_ids),
        cmocka_unit_test(faces_go_out_and_come_back),
        cmocka_unit_test(galleries_of_the_older_service),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    cli_runner_deinit();
    return failed;
}

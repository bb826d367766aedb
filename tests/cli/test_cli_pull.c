/*
 * `frt models pull`, the program against a server of the test's own: catalogue, consent, checksums, what breaks
 * off, archives, and with real models (FRT_TEST_ASSETS) a pack that then finds and compares faces.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/cli_runner.h"
#include "core/sha256.h"
#include "model/catalogue.h"
#include "model/fetch.h"
#include "model/mirror_server.h"
#include "model/zip_maker.h"

enum { SKIP = 77, MODEL_BYTES = 200000 };

static struct mirror_server *server;
static char files[128], packs[128], catalogue[128], base[64];
static uint8_t detector[MODEL_BYTES], embedder[MODEL_BYTES];
static char detector_sum[FRT_SHA256_HEX_SIZE], embedder_sum[FRT_SHA256_HEX_SIZE];

static const char *file(const char *name)
{
    static char paths[8][256];
    static unsigned next;
    char *path = paths[next++ % 8];
    (void)snprintf(path, sizeof paths[0], "%s/%s", files, name);
    return path;
}

static bool there(const char *name)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", packs, name);
    return access(path, F_OK) == 0;
}

#define INPUT "\"input\":{\"color\":\"rgb\",\"mean\":[0,0,0],\"scale\":[1,1,1]}"

/* A manifest of a detector and an embedder; sums only where given. */
static void manifest_text(char *out, size_t room, const char *name, const char *licence, const char *first_file,
                          const char *sum)
{
    (void)snprintf(
        out, room,
        "{\"format\":\"frt-pack\",\"format_version\":1,\"name\":\"%s\",\"version\":\"1\",\"models\":["
        "{\"role\":\"detector\",\"name\":\"d\",\"family\":\"yunet\",\"file\":\"%s\",\"licence\":\"%s\","
        "%s%s%s\"min_confidence\":0.5,\"nms_iou\":0.3," INPUT "},"
        "{\"role\":\"embedder\",\"name\":\"e\",\"family\":\"arcface\",\"file\":\"embedder.onnx\","
        "\"template\":\"arcface112\",\"dim\":128,\"threshold\":0.3," INPUT "}]}",
        name, first_file, licence, sum != NULL ? "\"sha256\":\"" : "", sum != NULL ? sum : "",
        sum != NULL ? "\"," : "");
}

/* A catalogue of three packs: two files, a licence that forbids commercial use, an archive. */
static void write_catalogue(const char *word)
{
    char text[8192], plain[1500], zipped[1500], zip_sum[FRT_SHA256_HEX_SIZE];
    struct stat st;
    manifest_text(plain, sizeof plain, "plain", "MIT", "detector.onnx", NULL);
    manifest_text(zipped, sizeof zipped, "zipped", "MIT", "detector.onnx", NULL);
    assert_int_equal(frt_sha256_file(file("both.zip"), zip_sum, NULL), FRT_OK);
    assert_int_equal(stat(file("both.zip"), &st), 0);
    (void)snprintf(
        text, sizeof text,
        "{\"format\":\"frt-catalogue\",\"format_version\":1,\"packs\":["
        "{\"name\":\"plain\",\"summary\":\"two "
        "files\",\"licence\":\"MIT\",\"licence_url\":\"https://a.invalid/\","
        "\"non_commercial\":false,\"downloads\":["
        "{\"urls\":[\"%s/%s/detector.onnx\"],\"size\":%d,\"sha256\":\"%s\",\"file\":\"detector.onnx\"},"
        "{\"urls\":[\"%s/away/embedder.onnx\",\"%s/%s/embedder.onnx\"],\"size\":%d,\"sha256\":\"%s\","
        "\"file\":\"embedder.onnx\"}],\"manifest\":%s},"
        "{\"name\":\"bound\",\"summary\":\"s\",\"licence\":\"for research, non-commercial\","
        "\"licence_url\":\"https://licence.invalid/\",\"non_commercial\":true,\"downloads\":["
        "{\"urls\":[\"%s/%s/both.zip\"],\"size\":%lld,\"sha256\":\"%s\",\"archive\":\"zip\",\"members\":["
        "{\"member\":\"detector.onnx\",\"file\":\"detector.onnx\",\"size\":%d,\"sha256\":\"%s\"},"
        "{\"member\":\"deep/embedder.onnx\",\"file\":\"embedder.onnx\",\"size\":%d,\"sha256\":\"%s\"}]}],"
        "\"manifest\":%s}]}",
        base, word, MODEL_BYTES, detector_sum, base, base, word, MODEL_BYTES, embedder_sum, plain, base, word,
        (long long)st.st_size, zip_sum, MODEL_BYTES, detector_sum, MODEL_BYTES, embedder_sum, zipped);
    cli_put(catalogue, text, strlen(text));
}

static int fresh(void **state)
{
    char command[300];
    (void)state;
    (void)snprintf(command, sizeof command, "rm -rf '%s'", packs);
    (void)!system(command);
    mirror_reset(server);
    write_catalogue("ok");
    return 0;
}

#define PULL(...) CLI_RUN(NULL, "models", "pull", "--to", packs, "--catalogue", catalogue, __VA_ARGS__)

static void expect_pack(const char *name)
{
    char path[256];
    struct frt_manifest *m = NULL;
    struct frt_error err = {0};
    (void)snprintf(path, sizeof path, "%s/%s", packs, name);
    assert_int_equal(frt_manifest_load(path, &m, &err), FRT_OK);
    assert_string_equal(m->models[0].sha256, detector_sum); /* pinned, though the manifest did not */
    assert_string_equal(m->models[1].sha256, embedder_sum);
    assert_int_equal(frt_manifest_verify(m, path, &err), FRT_OK);
    frt_manifest_free(m);
    assert_int_equal(cli_count(path, NULL), 3);
    assert_int_equal(cli_count(packs, NULL), 1); /* no work folder is left */
}

static void lists_the_catalogue(void **state)
{
    (void)state;
    struct cli_result r = CLI_RUN(NULL, "models", "pull");
    cli_expect(&r, 0, NULL);
    assert_non_null(strstr(r.out, "opencv-zoo"));
    assert_non_null(strstr(r.out, "buffalo_l"));
    r = CLI_RUN(NULL, "models", "pull", "--json");
    assert_non_null(strstr(r.out, "\"bytes\":288621354"));
}

static void fetches_two_files(void **state)
{
    (void)state;
    struct cli_result r = PULL("plain");
    cli_expect(&r, 0, "detector.onnx, 0.2 MB");
    assert_non_null(strstr(r.out, "2 models"));
    expect_pack("plain"); /* its embedder from the second address: the first has it no more */
    r = PULL("plain");
    cli_expect(&r, 0, NULL);
    assert_non_null(strstr(r.out, "there already"));
    assert_int_equal(mirror_requests(server), 3);
}

static void changed_pack_is_not_touched(void **state)
{
    char path[256];
    (void)state;
    struct cli_result r = PULL("--quiet", "plain");
    cli_expect(&r, 0, NULL);
    (void)snprintf(path, sizeof path, "%s/plain/detector.onnx", packs);
    cli_put(path, "x", 1);
    r = PULL("--quiet", "plain");
    cli_expect(&r, 1, "there already");
    r = PULL("--quiet", "plain", "--name", "other");
    cli_expect(&r, 0, NULL);
    r = PULL("--quiet", "plain", "--force");
    cli_expect(&r, 0, NULL);
    assert_int_equal(cli_count(packs, NULL), 2);
}

static void unknown_names(void **state)
{
    (void)state;
    struct cli_result r = PULL("plian");
    cli_expect(&r, 3, "did you mean \"plain\"?");
    r = PULL("plain", "--name", "../x");
    cli_expect(&r, 2, "no name");
    r = PULL("plain", "--sha256", "12");
    cli_expect(&r, 2, "64 digits");
}

static void consent(void **state)
{
    (void)state;
    struct cli_result r = PULL("bound");
    cli_expect(&r, 2, "--accept-licence");
    assert_non_null(strstr(r.err, "for research, non-commercial"));
    assert_non_null(strstr(r.err, "https://licence.invalid/"));
    assert_int_equal(mirror_requests(server), 0);
    r = PULL("bound", "--accept-licence", "--json");
    cli_expect(&r, 0, NULL);
    assert_non_null(strstr(r.out, "\"resumed\":false"));
    expect_pack("bound");
}

static void broken_off_and_taken_up(void **state)
{
    (void)state;
    write_catalogue("drop");
    struct cli_result r = PULL("bound", "--accept-licence", "--json");
    cli_expect(&r, 0, NULL);
    assert_non_null(strstr(r.out, "\"resumed\":true"));
    expect_pack("bound");
}

/* The first half is of another file and nobody said so: the sum tells, and the second time all of it is
 * fetched. */
static void pieced_together(void **state)
{
    (void)state;
    write_catalogue("stale");
    struct cli_result r = PULL("bound", "--accept-licence", "--json");
    cli_expect(&r, 0, NULL);
    expect_pack("bound");
    assert_int_equal(mirror_requests(server), 3);
}

static void wrong_bytes(void **state)
{
    static const char *const words[] = {"wrong", "longer", "shorter"};
    (void)state;
    struct cli_result r = PULL("--quiet", "plain");
    cli_expect(&r, 0, NULL);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        write_catalogue(words[i]);
        r = PULL("plain", "--force");
        cli_expect(&r, 6, i == 0 ? "SHA-256" : "bytes");
        assert_true(there("plain/manifest.json")); /* what stood there stands */
    }
    write_catalogue("ok");
    r = PULL("plain", "--force");
    cli_expect(&r, 0, "");
    expect_pack("plain");
}

static void mirrors(void **state)
{
    char url[96];
    (void)state;
    write_catalogue("away");
    struct cli_result r = PULL("plain", "--quiet", "--mirror", files);
    cli_expect(&r, 0, NULL);
    expect_pack("plain");
    assert_int_equal(mirror_requests(server), 0);
    (void)fresh(NULL);
    write_catalogue("away");
    (void)snprintf(url, sizeof url, "FRT_MODELS_MIRROR=%s/hop", base);
    const struct cli_setting setting = {.env = {url}};
    r = CLI_RUN(&setting, "models", "pull", "--to", packs, "--catalogue", catalogue, "--quiet", "plain");
    cli_expect(&r, 0, NULL);
    expect_pack("plain");
    r = PULL("plain", "--force", "--mirror", "/nowhere");
    cli_expect(&r, 3, "/nowhere/detector.onnx");
}

static void file_of_the_catalogue(void **state)
{
    (void)state;
    struct cli_result r = PULL(file("both.zip"));
    cli_expect(&r, 2, "--accept-licence");
    r = PULL("--quiet", file("both.zip"), "--accept-licence");
    cli_expect(&r, 0, NULL);
    expect_pack("bound");
    assert_int_equal(mirror_requests(server), 0);
    r = PULL(file("detector.onnx"));
    cli_expect(&r, 6, "frt models import");
}

static void archives_of_others(void **state)
{
    char text[1500], url[128], sum[FRT_SHA256_HEX_SIZE];
    (void)state;
    manifest_text(text, sizeof text, "ours", "MIT", "detector.onnx", detector_sum);
    const struct zip_entry good[] = {{"manifest.json", text, strlen(text)},
                                     {"detector.onnx", detector, sizeof detector},
                                     {"embedder.onnx", embedder, sizeof embedder}};
    assert_true(zip_make(file("ours.zip"), good, 3));
    struct cli_result r = PULL("--quiet", file("ours.zip"));
    cli_expect(&r, 0, NULL);
    expect_pack("ours");

    (void)fresh(NULL);
    (void)snprintf(url, sizeof url, "%s/drop/ours.zip", base);
    r = PULL(url);
    cli_expect(&r, 2, "--sha256");
    assert_int_equal(mirror_requests(server), 0);
    assert_int_equal(frt_sha256_file(file("ours.zip"), sum, NULL), FRT_OK);
    r = PULL("--quiet", url, "--sha256", detector_sum);
    cli_expect(&r, 6, "SHA-256");
    r = PULL("--quiet", url, "--sha256", sum);
    cli_expect(&r, 0, NULL);
    assert_true(there("ours/embedder.onnx"));

    /* the same pack as a folder */
    char folder[256];
    (void)snprintf(folder, sizeof folder, "%s/ours", packs);
    r = PULL("--quiet", folder, "--name", "copy");
    cli_expect(&r, 0, NULL);
    assert_true(there("copy/detector.onnx"));
}

static void hostile_archives(void **state)
{
    static uint8_t zeros[8 << 20];
    char text[1500];
    (void)state;
    /* an entry with a path that leads out is never written there: only what the manifest names is taken */
    manifest_text(text, sizeof text, "slip", "MIT", "../escaped.onnx", NULL);
    const struct zip_entry slip[] = {{"manifest.json", text, strlen(text)},
                                     {"../escaped.onnx", detector, sizeof detector},
                                     {"embedder.onnx", embedder, sizeof embedder}};
    assert_true(zip_make(file("slip.zip"), slip, 3));
    struct cli_result r = PULL("--quiet", file("slip.zip"));
    cli_expect(&r, 6, "leads out of the pack's folder");
    /* no manifest; a manifest that is a bomb; a model that is missing, twice there, or another */
    assert_true(zip_make(file("bare.zip"), slip + 1, 2));
    r = PULL("--quiet", file("bare.zip"));
    cli_expect(&r, 6, "no manifest.json");
    const struct zip_entry bomb[] = {{"manifest.json", zeros, sizeof zeros}};
    assert_true(zip_make(file("bomb.zip"), bomb, 1));
    r = PULL("--quiet", file("bomb.zip"));
    cli_expect(&r, 3, "at most 4194304");
    manifest_text(text, sizeof text, "bad", "MIT", "detector.onnx", embedder_sum);
    struct zip_entry bad[] = {{"manifest.json", text, strlen(text)},
                              {"detector.onnx", detector, sizeof detector},
                              {"embedder.onnx", embedder, sizeof embedder},
                              {"detector.onnx", embedder, sizeof embedder}};
    assert_true(zip_make(file("bad.zip"), bad, 2));
    r = PULL("--quiet", file("bad.zip"));
    cli_expect(&r, 6, "SHA-256");
    bad[0] = (struct zip_entry){"manifest.json", text, strlen(text)};
    assert_true(zip_make(file("twice.zip"), bad, 4));
    r = PULL("--quiet", file("twice.zip"));
    cli_expect(&r, 6, "more than once");
    assert_int_equal(cli_count(packs, NULL) > 0 && there("bad/manifest.json"), 0);
    /* damaged: a byte in the middle, and cut short */
    size_t size = 0;
    char *bytes = cli_get(file("both.zip"), &size);
    assert_non_null(bytes);
    bytes[size / 2] = (char)(bytes[size / 2] + 1);
    cli_put(file("damaged.zip"), bytes, size);
    r = PULL("--quiet", file("damaged.zip"), "--accept-licence");
    cli_expect(&r, 6, "");
    cli_put(file("short.zip"), bytes, size / 2);
    free(bytes);
    r = PULL("--quiet", file("short.zip"), "--accept-licence");
    cli_expect(&r, 6, "");
    assert_int_not_equal(access(file("../escaped.onnx"), F_OK), 0);
}

static void interrupted(void **state)
{
    char part[256];
    (void)state;
    write_catalogue("stall");
    (void)snprintf(part, sizeof part, "%s/.pull-plain/%s.part.from", packs, detector_sum);
    const struct cli_setting setting = {.when_exists = part, .signal = 2};
    struct cli_result r =
        CLI_RUN(&setting, "models", "pull", "--to", packs, "--catalogue", catalogue, "--quiet", "plain");
    cli_expect(&r, 130, "cancelled");
    assert_false(there("plain"));
    write_catalogue("ok");
    r = PULL("--quiet", "plain");
    cli_expect(&r, 0, NULL);
    expect_pack("plain");
}

static void bad_catalogues(void **state)
{
    static const char *const texts[] = {
        "{}",
        "{\"format\":\"frt-catalogue\",\"format_version\":2,\"packs\":[]}",
        "[",
        "\x00",
        "{\"format\":\"frt-catalogue\",\"format_version\":1,\"packs\":[{\"name\":\"a/b\"}]}",
        "{\"format\":\"frt-catalogue\",\"format_version\":1,\"packs\":[{\"name\":\"x\",\"summary\":\"s\","
        "\"licence\":\"l\",\"licence_url\":\"u\",\"non_commercial\":false,\"downloads\":[{\"urls\":[\"https://"
        "a/\"],"
        "\"size\":3,\"file\":\"a.onnx\"}]}]}", /* no sum: no entry */
    };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        cli_put(catalogue, texts[i], strlen(texts[i]));
        struct cli_result r = PULL("plain");
        cli_expect(&r, 6, "catalogue");
    }
    cli_put(catalogue, texts[5], strlen(texts[5]));
    struct cli_result r = PULL("plain");
    cli_expect(&r, 6, "\"sha256\"");
}

/* The shipped catalogue by its own words: every sum and licence is there, as reading it demands; no two packs
 * give one file two sums. */
static void shipped_catalogue(void **state)
{
    struct frt_catalogue *c = NULL;
    struct frt_error err = {0};
    (void)state;
    assert_int_equal(frt_catalogue_load(NULL, &c, &err), FRT_OK);
    assert_true(c->n_packs >= 6);
    for (uint32_t i = 0; i < c->n_packs; i++) {
        assert_string_equal(c->packs[i].name, c->packs[i].manifest->name);
        assert_int_equal(strncmp(c->packs[i].downloads[0].urls[0], "https://", 8), 0);
        bool forbids = strstr(c->packs[i].licence, "non-commercial") != NULL;
        assert_int_equal(forbids, c->packs[i].non_commercial);
    }
    frt_catalogue_free(c);
}

/* Real models: YuNet and MobileFaceNet, fetched, find and compare faces. */
static void real_pack(void **state)
{
    const char *assets = getenv("FRT_TEST_ASSETS") != NULL ? getenv("FRT_TEST_ASSETS") : "../shared/assets";
    static const char photo[] = "node_modules/@vladmandic/face-api/demo/sample1.jpg";
    char path[512], text[4096], sums[2][FRT_SHA256_HEX_SIZE], pack[256];
    static const char *const names[] = {"yunet_n_dynamic.onnx", "w600k_mbf_dequant_fp32.onnx"};
    struct stat st[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof path, "%s/models/%s/%s", assets, i == 0 ? "detect" : "recognize", names[i]);
        if (stat(path, &st[i]) != 0 || access(photo, R_OK) != 0 ||
            frt_sha256_file(path, sums[i], NULL) != FRT_OK) {
            (void)printf("SKIP: %s or %s is not there\n", path, photo);
            skip();
        }
        char *real = realpath(path, NULL);
        assert_non_null(real);
        (void)unlink(file(names[i]));
        assert_int_equal(symlink(real, file(names[i])), 0);
        free(real);
    }
    (void)snprintf(
        text, sizeof text,
        "{\"format\":\"frt-catalogue\",\"format_version\":1,\"packs\":[{\"name\":\"real\",\"summary\":\"s\","
        "\"licence\":\"mixed\",\"licence_url\":\"u\",\"non_commercial\":false,\"downloads\":["
        "{\"urls\":[\"%s/drop/%s\"],\"size\":%lld,\"sha256\":\"%s\",\"file\":\"%s\"},"
        "{\"urls\":[\"%s/drop/%s\"],\"size\":%lld,\"sha256\":\"%s\",\"file\":\"%s\"}],"
        "\"manifest\":{\"format\":\"frt-pack\",\"format_version\":1,\"name\":\"real\",\"version\":\"1\","
        "\"models\":["
        "{\"role\":\"detector\",\"name\":\"d\",\"family\":\"yunet\",\"file\":\"%s\",\"min_confidence\":0.6,"
        "\"nms_iou\":0.3,\"input\":{\"color\":\"bgr\",\"mean\":[0,0,0],\"scale\":[1,1,1]}},"
        "{\"role\":\"embedder\",\"name\":\"e\",\"family\":\"arcface\",\"file\":\"%s\",\"template\":"
        "\"arcface112\","
        "\"dim\":512,\"threshold\":0.24,\"input\":{\"color\":\"rgb\",\"mean\":[127.5,127.5,127.5],"
        "\"scale\":[0.0078431,0.0078431,0.0078431]}}]}}]}",
        base, names[0], (long long)st[0].st_size, sums[0], names[0], base, names[1], (long long)st[1].st_size,
        sums[1], names[1], names[0], names[1]);
    cli_put(catalogue, text, strlen(text));
    struct cli_result r = PULL("--quiet", "real");
    cli_expect(&r, 0, NULL);
    (void)snprintf(pack, sizeof pack, "%s/real", packs);
    r = CLI_RUN(NULL, "models", "verify", "--pack", pack);
    cli_expect(&r, 0, NULL);
    r = CLI_RUN(NULL, "detect", "--json", "--pack", pack, photo);
    cli_expect(&r, 0, NULL);
    assert_non_null(strstr(r.out, "\"landmarks\""));
    r = CLI_RUN(NULL, "verify", "--pack", pack, photo, photo);
    cli_expect(&r, 0, NULL);
}

int main(int argc, char **argv)
{
    static const char *const proxies[] = {"http_proxy",  "https_proxy", "all_proxy",
                                          "HTTPS_PROXY", "ALL_PROXY",   "FRT_MODELS_MIRROR"};
    struct frt_error err = {0};
    cli_runner_init(argc, argv);
    for (size_t i = 0; i < sizeof proxies / sizeof *proxies; i++)
        (void)unsetenv(proxies[i]);
    if (frt_fetch_available(NULL, &err) != FRT_OK) {
        (void)printf("SKIP: %s\n", err.text);
        cli_runner_deinit();
        return SKIP;
    }
    (void)snprintf(files, sizeof files, "%s", cli_work("files"));
    (void)snprintf(packs, sizeof packs, "%s", cli_work("packs"));
    (void)snprintf(catalogue, sizeof catalogue, "%s", cli_work("catalogue.json"));
    (void)mkdir(files, 0755);
    for (uint32_t i = 0, x = 1; i < MODEL_BYTES; i++, x = x * 1664525 + 1013904223) {
        detector[i] = (uint8_t)(x >> 24);
        embedder[i] = (uint8_t)(x >> 16);
    }
    frt_sha256_hex(detector, sizeof detector, detector_sum);
    frt_sha256_hex(embedder, sizeof embedder, embedder_sum);
    const struct zip_entry both[] = {{"detector.onnx", detector, sizeof detector},
                                     {"other/readme.txt", "hello", 5},
                                     {"deep/embedder.onnx", embedder, sizeof embedder}};
    cli_put(file("detector.onnx"), detector, sizeof detector);
    cli_put(file("embedder.onnx"), embedder, sizeof embedder);
    server = mirror_start(files, false, NULL);
    if (server == NULL || !zip_make(file("both.zip"), both, 3)) {
        (void)printf("SKIP: no server could be started on the loopback address\n");
        return SKIP;
    }
    (void)snprintf(base, sizeof base, "http://127.0.0.1:%u", mirror_port(server));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(lists_the_catalogue, fresh),
        cmocka_unit_test_setup(fetches_two_files, fresh),
        cmocka_unit_test_setup(changed_pack_is_not_touched, fresh),
        cmocka_unit_test_setup(unknown_names, fresh),
        cmocka_unit_test_setup(consent, fresh),
        cmocka_unit_test_setup(broken_off_and_taken_up, fresh),
        cmocka_unit_test_setup(pieced_together, fresh),
        cmocka_unit_test_setup(wrong_bytes, fresh),
        cmocka_unit_test_setup(mirrors, fresh),
        cmocka_unit_test_setup(file_of_the_catalogue, fresh),
        cmocka_unit_test_setup(archives_of_others, fresh),
        cmocka_unit_test_setup(hostile_archives, fresh),
        cmocka_unit_test_setup(interrupted, fresh),
        cmocka_unit_test_setup(bad_catalogues, fresh),
        cmocka_unit_test_setup(shipped_catalogue, fresh),
        cmocka_unit_test_setup(real_pack, fresh),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    mirror_stop(server);
    cli_runner_deinit();
    return failed;
}

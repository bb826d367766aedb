/* Detection: label files of both formats and damaged ones, average precision worked out by hand, intervals,
 * plots, a run over real groups. The run is skipped where the pack or the photos are absent. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <unistd.h>

#include <cmocka.h>

#include "core/json_read.h"
#include "core/mem.h"
#include "engine/eval_detect.h"
#include "engine/plot.h"

static void assert_near(double value, double wanted)
{
    if (!(fabs(value - wanted) < 1e-6))
        fail_msg("%.8f instead of %.8f", value, wanted);
}

static void read_text(struct frt_labels *labels, const char *text)
{
    struct frt_error err = {0};
    if (frt_labels_parse(labels, text, strlen(text), &err) != FRT_OK)
        fail_msg("%s", err.text);
}

/* Refused, with the words in the text. */
static void refused(const char *text, const char *words)
{
    struct frt_labels labels = {0};
    struct frt_error err = {0};
    enum frt_status status = frt_labels_parse(&labels, text, strlen(text), &err);
    if (status != FRT_EBAD_REQUEST || strstr(err.text, words) == NULL)
        fail_msg("%s\ngave %d, %s", text, (int)status, err.text);
    frt_labels_deinit(&labels);
}

/* ------------------------------------------------------------------ labels */

static const char xml[] =
    "<?xml version='1.0' encoding='ISO-8859-1'?>\n<?xml-stylesheet type='text/xsl' href='x.xsl'?>\n"
    "<!-- <image file='no.jpg'> -->\n<dataset>\n<name>a &gt; b</name>\n<images>\n"
    "  <image file='a &amp; b&#39;s.jpg' width='500'>\n"
    "    <box top='90' left='194' width='37' height='38'/>\n"
    "    <box top=\"1\" left=\"-2\" width=\"3\" height=\"4\" ignore=\"1\">\n"
    "      <label>face</label><part name='nose' x='1' y='2'/>\n    </box>\n"
    "    <box top='1' left='2' width='3' height='4' difficult='1' ignore='0'/>\n  </image>\n"
    "  <image file='sub/none.jpg'/>\n  <image file='c.jpg'><box left='5.5' top='6' width='7' height='8' "
    "truncated='1'></box></image>\n</images>\n</dataset>\n<!-- end -->\n";

static void xml_of_dlib(void **state)
{
    (void)state;
    struct frt_labels l = {0};
    read_text(&l, xml);
    assert_int_equal(l.n_photos, 3);
    assert_string_equal(l.photos[0].file, "a & b's.jpg");
    assert_string_equal(l.photos[1].file, "sub/none.jpg");
    assert_int_equal(l.photos[0].n, 3);
    assert_int_equal(l.photos[1].n, 0);
    assert_int_equal(l.photos[2].first, 3);
    assert_near((double)l.boxes[0].box.x, 194);
    assert_near((double)l.boxes[0].box.y, 90);
    assert_near((double)l.boxes[0].box.width, 37);
    assert_near((double)l.boxes[0].box.height, 38);
    assert_false(l.boxes[0].ignored);
    assert_true(l.boxes[1].ignored);
    assert_true(l.boxes[2].ignored);
    assert_near((double)l.boxes[3].box.x, 5.5);
    assert_false(l.boxes[3].ignored);
    /* a second file goes on where the first ended, but for photos that are there already */
    read_text(&l, "d.jpg\n1\n1 2 3 4\n");
    assert_int_equal(l.n_photos, 4);
    assert_int_equal(l.photos[3].first, 4);
    struct frt_error err;
    assert_int_equal(frt_labels_parse(&l, "c.jpg\n0\n", 8, &err), FRT_EBAD_REQUEST);
    assert_non_null(strstr(err.text, "twice"));
    frt_labels_deinit(&l);
}

static void list_of_wider(void **state)
{
    (void)state;
    struct frt_labels l = {0};
    read_text(&l, "\xEF\xBB\xBF"
                  "0--Parade/0_Parade_1_849.jpg\r\n2\r\n449 330 122 149 0 0 0 0 0 0 \r\n"
                  "1 2 3 4 2 0 0 1 0 0\r\nzero.jpg\n0\n0 0 0 0 0 0 0 0 0 0\n7.jpg\n0\n\nlast one.jpg\n2\n"
                  "5 6 0 8 0 0 0 0 0 0\n1 1 9 9");
    assert_int_equal(l.n_photos, 4);
    assert_string_equal(l.photos[0].file, "0--Parade/0_Parade_1_849.jpg");
    assert_string_equal(l.photos[2].file, "7.jpg");
    assert_string_equal(l.photos[3].file, "last one.jpg");
    assert_int_equal(l.photos[1].n, 0);
    assert_int_equal(l.n_boxes, 4);
    assert_near((double)l.boxes[0].box.height, 149);
    assert_false(l.boxes[0].ignored);
    assert_true(l.boxes[1].ignored); /* invalid */
    assert_true(l.boxes[2].ignored); /* no width */
    assert_false(l.boxes[3].ignored);
    frt_labels_deinit(&l);
}

#define IN_IMAGES(what) "<dataset><images>" what "</images></dataset>"

static void damaged_labels_are_refused_by_line(void **state)
{
    (void)state;
    refused("", "empty");
    refused(" \n\t", "empty");
    refused("a.jpg", "number of boxes");
    refused("a.jpg\nb.jpg\n1\n", "line 2");
    refused("a.jpg\n-1\n", "number of boxes");
    refused("a.jpg\n1.5\n", "number of boxes");
    refused("a.jpg\n1e300\n", "number of boxes");
    refused("a.jpg\n2\n1 2 3 4\n", "ends amid");
    refused("a.jpg\n1\n1 2 3\n", "is no box");
    refused("a.jpg\n1\n1 2 3 x\n", "is no box");
    refused("a.jpg\n1\n1 2 3 nan\n", "a box with the number");
    refused("a.jpg\n1\n1 2 3 1e9\n", "a box with the number");
    refused("../a.jpg\n0\n", "below the folder");
    refused("/etc/passwd\n0\n", "below the folder");
    refused("a/../../b\n0\n", "below the folder");
    refused("a/..\n0\n", "below the folder");
    refused("a\x01.jpg\n0\n", "below the folder");
    refused("a.jpg\n0\na.jpg\n0\n", "twice");
    refused("<", "without the name");
    refused("<dataset>", "before all elements are closed");
    refused("<!DOCTYPE x [<!ENTITY a \"b\">]><dataset/>", "document types");
    refused("<dataset><![CDATA[x]]></dataset>", "document types and CDATA");
    refused("<!-- a", "a comment is not closed");
    refused("<?xml ", "an instruction is not closed");
    refused("<?xml version='1.0'?>", "no element <dataset>");
    refused("<other/>", "one element <dataset>");
    refused("<dataset/><dataset/>", "one element <dataset>");
    refused("<dataset/>x", "text outside");
    refused("<dataset></images>", "closed that is not open");
    refused("<dataset a='1' a='2'/>", "twice");
    refused("<dataset a=1/>", "in quotes");
    refused("<dataset a/>", "name=\"value\"");
    refused("<dataset a='1'b='2'/>", "is not written as");
    refused("<dataset a='1/>", "not closed");
    refused("<dataset a='<'/>", "not closed");
    refused("<dataset", "amid an element");
    refused(IN_IMAGES("<image/>"), "without file");
    refused(IN_IMAGES("<image file='&who;'/>"), "an entity that is not read");
    refused(IN_IMAGES("<image file='&#1;'/>"), "an entity that is not read");
    refused(IN_IMAGES("<image file='&#x41;'/>"), "an entity that is not read");
    refused(IN_IMAGES("<image file='&#'/>"), "an entity that is not read");
    refused(IN_IMAGES("<image file='../a'/>"), "below the folder");
    refused(IN_IMAGES("<image file=''/>"), "below the folder");
    refused(IN_IMAGES("<image file='a'/>\n<image file='a'/>"), "twice");
    refused(IN_IMAGES("<image file='a'>\n\n<box top='1' left='2' width='3'/></image>"), "line 3");
    refused(IN_IMAGES("<image file='a'><box top='1' left='2' width='3' height='y'/></image>"),
            "height is none");
    refused(IN_IMAGES("<image file='a'><box top='1' left='2' width='0' height='3'/></image>"),
            "without an area");
    refused(IN_IMAGES("<image file='a'><box top='1' left='2' width='inf' height='3'/></image>"), "the number");
    char deep[1024] = "", wide[1024] = "";
    size_t used = (size_t)snprintf(deep, sizeof deep, "<dataset>");
    for (int i = 0; i < 40; i++)
        used += (size_t)snprintf(deep + used, sizeof deep - used, "<a>");
    refused(deep, "32 deep");
    used = (size_t)snprintf(wide, sizeof wide, "<dataset");
    for (int i = 0; i < 40; i++)
        used += (size_t)snprintf(wide + used, sizeof wide - used, " a%d='1'", i);
    (void)snprintf(wide + used, sizeof wide - used, "/>");
    refused(wide, "more than 32 attributes");
}

/* Whatever the bytes are, they are read within their bounds (the sanitizers look) and lead to OK or a refusal.
 */
static void any_bytes_are_survived(void **state)
{
    (void)state;
    static const char list[] = "a.jpg\n2\n1 2 3 4\n5 6 7 8 0 0 0 1 0 0\nb.jpg\n0\n0 0 0 0\nc.jpg\n1\n1 1 1 1\n";
    const struct {
        const char *text;
        size_t size;
    } files[] = {{xml, sizeof xml - 1}, {list, sizeof list - 1}};
    static const char bytes[] = "<>/&'\"= \n\t0-9e.!?#;\0\xff";
    size_t taken = 0;
    for (size_t f = 0; f < 2; f++) {
        for (size_t at = 0; at < files[f].size; at++) {
            for (size_t b = 0; b <= sizeof bytes; b++) {
                /* in a block of its own size, so that a byte read too far is seen */
                const size_t size = b == sizeof bytes ? at : files[f].size;
                char *copy = malloc(size > 0 ? size : 1);
                assert_non_null(copy);
                memcpy(copy, files[f].text, size);
                if (b < sizeof bytes)
                    copy[at] = bytes[b];
                struct frt_labels l = {0};
                enum frt_status status = frt_labels_parse(&l, copy, size, NULL);
                if (status != FRT_OK && status != FRT_EBAD_REQUEST)
                    fail_msg("byte %zu: %d", at, (int)status);
                taken += status == FRT_OK;
                frt_labels_deinit(&l);
                free(copy);
            }
        }
    }
    assert_true(taken > 100);
}

/* --------------------------------------------------------------------- AP */

/* Two photos: faces A1, A2 and an ignored one in the first, B1 in the second. */
static struct frt_labels known_labels(void)
{
    struct frt_labels l = {0};
    read_text(&l, "a.jpg\n3\n0 0 100 100\n200 0 100 100\n500 500 80 80 0 0 0 1 0 0\nb.jpg\n1\n50 50 40 40\n");
    return l;
}

static struct frt_scored_box box_of(float x, float y, float w, float h, float score, uint32_t photo)
{
    return (struct frt_scored_box){.box = {x, y, w, h}, .score = score, .photo = photo};
}

static void precision_of_known_boxes(void **state)
{
    (void)state;
    struct frt_labels l = known_labels();
    struct frt_scored_box boxes[] = {
        box_of(200, 0, 100, 60, 0.5f, 0),    /* A2, overlap 0.6 */
        box_of(0, 0, 100, 90, 0.6f, 0),      /* A1 once more */
        box_of(50, 50, 40, 40, 0.7f, 1),     /* B1 */
        box_of(510, 510, 80, 80, 0.75f, 0),  /* over the ignored one */
        box_of(540, 540, 10, 10, 0.76f, 0),  /* inside of it */
        box_of(300, 300, 100, 100, 0.8f, 0), /* nothing there */
        box_of(0, 0, 100, 100, 0.9f, 0),     /* A1 */
    };
    enum { N = sizeof boxes / sizeof *boxes };
    struct frt_box_match matches[N];
    struct frt_pr_point curve[N];
    frt_boxes_sort(boxes, N);
    assert_near((double)boxes[0].score, (double)0.9f);
    assert_int_equal(frt_boxes_match(&l, boxes, N, 0.5, matches, NULL), FRT_OK);
    static const enum frt_box_outcome wanted[N] = {FRT_BOX_HIT,     FRT_BOX_FALSE_ALARM, FRT_BOX_IGNORED,
                                                   FRT_BOX_IGNORED, FRT_BOX_HIT,         FRT_BOX_FALSE_ALARM,
                                                   FRT_BOX_HIT};
    for (size_t i = 0; i < N; i++)
        assert_int_equal(matches[i].outcome, wanted[i]);
    assert_int_equal(matches[6].label, 1);
    assert_near((double)matches[6].iou, (double)0.6f);
    assert_near((double)matches[5].iou, (double)0.9f); /* with a face that is taken */
    /* recall 1/3 1/3 2/3 2/3 1, precision 1 1/2 2/3 1/2 3/5 */
    size_t n = frt_pr_curve(boxes, matches, N, NULL, 3, curve);
    assert_int_equal(n, 5);
    assert_near(curve[4].recall, 1);
    assert_near(curve[4].precision, 0.6);
    assert_near(frt_ap_all_points(curve, n), (1 + 2.0 / 3 + 0.6) / 3);
    assert_near(frt_ap_11_points(curve, n), (4 * 1 + 3 * 2.0 / 3 + 4 * 0.6) / 11);
    /* the second photo alone: one face, found first */
    const uint32_t second[2] = {0, 1}, twice[2] = {2, 2};
    n = frt_pr_curve(boxes, matches, N, second, 1, curve);
    assert_int_equal(n, 1);
    assert_near(frt_ap_all_points(curve, n), 1);
    n = frt_pr_curve(boxes, matches, N, twice, 6, curve);
    assert_near(frt_ap_all_points(curve, n), (1 + 2.0 / 3 + 0.6) / 3);
    /* at 0.65 the last one is no hit */
    assert_int_equal(frt_boxes_match(&l, boxes, N, 0.65, matches, NULL), FRT_OK);
    n = frt_pr_curve(boxes, matches, N, NULL, 3, curve);
    assert_near(frt_ap_all_points(curve, n), (1 + 2.0 / 3) / 3);
    assert_near(frt_ap_11_points(curve, n), (4 * 1 + 3 * 2.0 / 3) / 11);
    assert_near(frt_ap_all_points(curve, 0), 0);
    assert_near(frt_ap_11_points(curve, 0), 0);
    frt_labels_deinit(&l);
}

/* A hit and a false alarm with one score are one point: no threshold comes between them. */
static void equal_scores_are_one_point(void **state)
{
    (void)state;
    struct frt_labels l = known_labels();
    struct frt_scored_box boxes[] = {box_of(0, 0, 100, 100, 0.5f, 0), box_of(400, 0, 9, 9, 0.5f, 0)};
    struct frt_box_match matches[2];
    struct frt_pr_point curve[2];
    for (int turn = 0; turn < 2; turn++) {
        frt_boxes_sort(boxes, 2);
        assert_int_equal(frt_boxes_match(&l, boxes, 2, 0.5, matches, NULL), FRT_OK);
        assert_int_equal(frt_pr_curve(boxes, matches, 2, NULL, 3, curve), 1);
        assert_near(curve[0].precision, 0.5);
        assert_near(frt_ap_all_points(curve, 1), 0.5 / 3);
        const struct frt_scored_box first = boxes[0];
        boxes[0] = boxes[1];
        boxes[1] = first;
    }
    frt_labels_deinit(&l);
}

/* The better of two labels is taken, and the other is left for who comes later. */
static void each_face_is_found_once(void **state)
{
    (void)state;
    struct frt_labels l = {0};
    read_text(&l, "a.jpg\n2\n0 0 100 100\n20 0 100 100\n");
    struct frt_scored_box boxes[] = {box_of(18, 0, 100, 100, 0.9f, 0), box_of(19, 0, 100, 100, 0.8f, 0),
                                     box_of(20, 0, 100, 100, 0.7f, 0)};
    struct frt_box_match matches[3];
    assert_int_equal(frt_boxes_match(&l, boxes, 3, 0.5, matches, NULL), FRT_OK);
    assert_int_equal(matches[0].label, 1);
    assert_int_equal(matches[1].label, 0);
    assert_int_equal(matches[2].outcome, FRT_BOX_FALSE_ALARM);
    assert_near((double)matches[2].iou, 1);
    frt_labels_deinit(&l);
}

/* Wilson's interval: values of Newcombe 1998, table I (81 of 263, 15 of 148, 0 of 20, 1 of 29). */
static void intervals_of_shares(void **state)
{
    (void)state;
    static const struct {
        size_t hits, n;
        double low, high;
    } known[] = {
        {81, 263, 0.2553, 0.3662}, {15, 148, 0.0624, 0.1605}, {0, 20, 0, 0.1611}, {1, 29, 0.0061, 0.1718}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct frt_interval w = frt_wilson(known[i].hits, known[i].n);
        assert_true(fabs(w.low - known[i].low) < 5e-5 && fabs(w.high - known[i].high) < 5e-5);
    }
    assert_near(frt_wilson(0, 0).high, 1);
    assert_near(frt_wilson(20, 20).high, 1);
    double values[1000];
    for (size_t i = 0; i < 1000; i++)
        values[i] = (double)((i * 7) % 1000);
    struct frt_interval p = frt_percentiles(values, 1000);
    assert_near(p.low, 24);
    assert_near(p.high, 975);
    assert_true(isnan(frt_percentiles(values, 0).low));
}

/* ------------------------------------------------------------------- plots */

static void plots_are_drawn(void **state)
{
    (void)state;
    const double x[] = {0, 5, 10}, y[] = {0, 1, 1}, lx[] = {1e-3, 1e-1, 1};
    struct frt_plot plot = {.title = "a<b",
                            .x = {.title = "across", .low = 0, .high = 10},
                            .y = {.title = "up & down", .low = 0, .high = 1},
                            .curves = {{.name = "one", .x = x, .y = y, .n = 3, .stairs = true}},
                            .n_curves = 1};
    struct frt_buf out;
    frt_buf_init(&out, 1 << 16);
    frt_plot_text(&plot, 11, 6, &out);
    assert_string_equal(out.data, "  up & down\n"
                                  "      1 +     ******\n"
                                  "    0.8 +     *\n"
                                  "    0.6 +     *\n"
                                  "    0.4 +     *\n"
                                  "    0.2 +     *\n"
                                  "      0 +******\n"
                                  "        +-----------\n"
                                  "         0 2 4 6 8\n"
                                  "         across\n");
    frt_buf_clear(&out);
    plot.curves[0].x = lx;
    plot.x.low = 1e-3;
    plot.x.high = 1;
    plot.x.logarithmic = true;
    frt_plot_svg(&plot, &out);
    assert_int_equal(frt_buf_status(&out), FRT_OK);
    assert_non_null(strstr(out.data, "a&lt;b"));
    assert_non_null(strstr(out.data, "up &amp; down"));
    assert_non_null(strstr(out.data, ">0.001<"));
    /* from the lower left corner: flat for two thirds, up, flat */
    assert_non_null(strstr(out.data, "d=\"M70.0 442.0H443.3V62.0H630.0V62.0\""));
    assert_null(strstr(out.data, "nan"));
    frt_buf_deinit(&out);
}

/* ------------------------------------------------------------- real photos */

struct place {
    const char *pack, *assets;
    char photos[4200], labels[2][4300];
};

static bool find_place(struct place *p)
{
    char manifest[4200];
    p->pack = getenv("FRT_TEST_PACK") != NULL ? getenv("FRT_TEST_PACK") : "data/packs/default";
    p->assets = getenv("FRT_TEST_ASSETS") != NULL ? getenv("FRT_TEST_ASSETS") : "../shared/assets";
    (void)snprintf(p->photos, sizeof p->photos, "%s/faces/groups/dlib_faces", p->assets);
    (void)snprintf(p->labels[0], sizeof p->labels[0], "%s/testing.xml", p->photos);
    (void)snprintf(p->labels[1], sizeof p->labels[1], "%s/training.xml", p->photos);
    (void)snprintf(manifest, sizeof manifest, "%s/manifest.json", p->pack);
    return access(p->labels[0], R_OK) == 0 && access(p->labels[1], R_OK) == 0 && access(manifest, R_OK) == 0;
}

static void check_reports(struct frt_eval_detect_report *r)
{
    struct frt_json *json = NULL;
    struct frt_buf out;
    (void)snprintf(r->pack, sizeof r->pack, "a<b&c");
    frt_buf_init(&out, 1 << 20);
    frt_eval_detect_report_json(r, &out);
    assert_int_equal(frt_buf_status(&out), FRT_OK);
    assert_int_equal(frt_json_parse(out.data, out.size, &json, NULL), FRT_OK);
    const struct frt_json_value *root = frt_json_root(json), *at = frt_json_get(root, "at_confidence");
    assert_near(frt_json_double(frt_json_get(root, "faces"), -1), 43);
    assert_near(frt_json_double(frt_json_get(at, "missed"), -1), (double)r->n_misses);
    assert_int_equal(frt_json_count(frt_json_get(at, "missed_faces")), r->n_misses);
    assert_int_equal(frt_json_count(frt_json_get(at, "false_alarm_boxes")), r->n_false_alarms);
    assert_int_equal(frt_json_count(frt_json_get(frt_json_get(root, "ap"), "by_overlap")), 10);
    assert_int_equal(frt_json_count(frt_json_get(root, "curve")), r->n_curve);
    frt_json_free(json);
    frt_buf_clear(&out);
    frt_eval_detect_report_svg(r, &out);
    assert_int_equal(frt_buf_status(&out), FRT_OK);
    assert_non_null(strstr(out.data, "a&lt;b&amp;c"));
    assert_null(strstr(out.data, "nan"));
    assert_string_equal(out.data + out.size - 7, "</svg>\n");
    frt_buf_clear(&out);
    frt_eval_detect_report_text(r, &out);
    assert_int_equal(frt_buf_status(&out), FRT_OK);
    assert_non_null(strstr(out.data, "AP 0."));
    frt_buf_deinit(&out);
}

static void real_groups_are_found(void **state)
{
    (void)state;
    struct place p;
    if (!find_place(&p)) {
        (void)printf("SKIP: no photos in %s, or no pack in %s\n", p.assets, p.pack);
        skip();
    }
    struct frt_context *context = NULL;
    struct frt_pack *pack = NULL;
    struct frt_error err = {0};
    const struct frt_context_options one = {.threads = 1};
    if (frt_context_new(&one, &context, &err) != FRT_OK ||
        frt_pack_open(context, p.pack, NULL, &pack, &err) != FRT_OK)
        fail_msg("%s", err.text);
    const char *labels[2] = {p.labels[0], p.labels[1]};
    struct frt_eval_detect_options options = {
        .folder = p.photos, .labels = labels, .n_labels = 2, .threads = 2};
    struct frt_eval_detect_report r = {0}, same = {0};
    if (frt_eval_detect(context, pack, &options, &r, &err) != FRT_OK)
        fail_msg("%s", err.text);
    assert_int_equal(r.labels.n_photos, 9);
    assert_int_equal(r.n_faces, 43);
    assert_int_equal(r.n_hits + r.n_misses, 43);
    /* floors with room for another runtime: the default pack's detector has 0.9995, 42 of 43 and 1 */
    assert_true(r.ap[0] >= 0.98 && r.ap_11 >= 0.95);
    assert_true(r.n_misses <= 2 && r.n_false_alarms <= 3);
    assert_true(r.ap_interval.low <= r.ap[0] && r.ap_interval.high >= r.ap[0]);
    for (int k = 1; k < FRT_EVAL_DETECT_OVERLAPS; k++)
        assert_true(r.ap[k] <= r.ap[k - 1]);
    check_reports(&r);
    /* the same again, by one thread */
    options.threads = 1;
    assert_int_equal(frt_eval_detect(context, pack, &options, &same, &err), FRT_OK);
    assert_near(same.ap_mean, r.ap_mean);
    assert_near(same.ap_interval.low, r.ap_interval.low);
    frt_eval_detect_report_deinit(&same);
    frt_eval_detect_report_deinit(&r);
    /* faces under 40 px are ignored, and are no false alarms when they are found */
    options.min_size_px = 40;
    assert_int_equal(frt_eval_detect(context, pack, &options, &r, &err), FRT_OK);
    assert_int_equal(r.n_faces + r.n_ignored, 43);
    assert_true(r.n_ignored >= 15 && r.n_false_alarms <= 3);
    frt_eval_detect_report_deinit(&r);
    options.min_size_px = 500;
    assert_int_equal(frt_eval_detect(context, pack, &options, &r, &err), FRT_EBAD_REQUEST);
    options = (struct frt_eval_detect_options){.folder = "tests", .labels = labels, .n_labels = 1};
    assert_int_equal(frt_eval_detect(context, pack, &options, &r, &err), FRT_ENOTFOUND);
    assert_non_null(strstr(err.text, "5 of 5 photos"));
    options = (struct frt_eval_detect_options){.folder = p.photos};
    assert_int_equal(frt_eval_detect(context, pack, &options, &r, &err), FRT_EINVAL);
    frt_pack_free(pack);
    frt_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(xml_of_dlib),
        cmocka_unit_test(list_of_wider),
        cmocka_unit_test(damaged_labels_are_refused_by_line),
        cmocka_unit_test(any_bytes_are_survived),
        cmocka_unit_test(precision_of_known_boxes),
        cmocka_unit_test(equal_scores_are_one_point),
        cmocka_unit_test(each_face_is_found_once),
        cmocka_unit_test(intervals_of_shares),
        cmocka_unit_test(plots_are_drawn),
        cmocka_unit_test(real_groups_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "cli/cli_options.h"

/* name, value, help, words, completion, letter, list */
#define FLAG(name, letter, help)                                                                               \
    {                                                                                                          \
        (name), NULL, (help), NULL, CLI_COMPLETE_NONE, (letter), false                                         \
    }
#define VALUE(name, letter, value, complete, help)                                                             \
    {                                                                                                          \
        (name), (value), (help), NULL, (complete), (letter), false                                             \
    }
#define END                                                                                                    \
    {                                                                                                          \
        0                                                                                                      \
    }

static const struct cli_option pack_option[] = {
    VALUE("pack", 'p', "FOLDER", CLI_COMPLETE_FOLDER,
          "Model pack to use. Default: $FRT_PACK, else packs/default in the data folder."),
    END};

static const struct cli_option model_options[] = {
    VALUE("pack", 'p', "FOLDER", CLI_COMPLETE_FOLDER,
          "Model pack to use. Default: $FRT_PACK, else packs/default in the data folder."),
    VALUE("detector", 0, "NAME", CLI_COMPLETE_NONE,
          "Detector of the pack, by its name in 'frt models list'. Default: the pack's."),
    VALUE(
        "threads", 0, "N", CLI_COMPLETE_NONE,
        "Cores one inference may use, 1 to 1024. Default: all; 1 where several photos are worked on at once."),
    VALUE("device", 0, "DEVICE", CLI_COMPLETE_NONE,
          "What computes: auto, cpu, cuda, tensorrt or webgpu, with an index as in cuda:1; a device that is "
          "not there "
          "is told of, and the CPU computes. Default: $FRT_DEVICE, else auto."),
    END};

static const struct cli_option face_options[] = {
    VALUE("max-faces", 'n', "N", CLI_COMPLETE_NONE,
          "Return at most N faces of a photo, 1 to 1000, the largest first. Default: 1000."),
    VALUE("min-confidence", 0, "X", CLI_COMPLETE_NONE,
          "Drop faces the detector is less sure of, 0 to 1. Default: the pack's."),
    VALUE("min-size", 0, "PIXELS", CLI_COMPLETE_NONE,
          "Drop faces whose shorter side is less, 0 to 100000. Default: 0."),
    {"attributes", "LIST",
     "Also compute, separated by commas: quality, liveness, age, gender, expression, or all. Default: none.",
     "quality liveness age gender expression all", CLI_COMPLETE_WORDS, 'a', true},
    END};

static const struct cli_option batch_options[] = {
    VALUE(
        "jobs", 'j', "N", CLI_COMPLETE_NONE,
        "Photos worked on at once, 1 to 256; the output keeps the order of the input. Default: one per core."),
    FLAG("quiet", 'q', "Do not show progress."), END};

static const struct cli_option ping_options[] = {
    VALUE("url", 0, "URL", CLI_COMPLETE_NONE,
          "Ask this service. Default: the one that 'listen' of the settings names."),
    FLAG("live", 0, "Ask whether it is alive (/healthz), not whether it is ready."), END};

static const struct cli_option json_option[] = {
    FLAG("json", 0, "Print one JSON object a line, for machines; docs/cli.md has the shapes."), END};

static const struct cli_option draw_options[] = {
    VALUE("draw", 'd', "OUT", CLI_COMPLETE_FILE,
          "Draw boxes, landmarks and scores on the photo and write it as JPEG: to the file OUT for one photo, "
          "into the folder OUT (made if absent) for several. Default: nothing is drawn."),
    FLAG("force", 'f', "Let --draw replace files that exist, but never a photo that is read."), END};

static const struct cli_option embed_options[] = {
    {"encoding", "HOW",
     "How --json writes embeddings: 'array' of numbers, or 'base64' of little-endian f32. Default: array.",
     "array base64", CLI_COMPLETE_WORDS, 'e', false},
    END};

static const struct cli_option verify_options[] = {
    FLAG("require-live", 0,
         "Judge no photo, the first one included, whose face looks like a print, a screen or a mask."),
    VALUE("threshold", 't', "COSINE", CLI_COMPLETE_NONE,
          "Similarity from which two faces count as one person, -1 to 1. Default: the pack's."),
    VALUE("min-confidence", 0, "X", CLI_COMPLETE_NONE,
          "Ignore faces the detector is less sure of, 0 to 1. Default: the pack's."),
    END};

static const struct cli_option import_options[] = {
    VALUE("from", 0, "FOLDER", CLI_COMPLETE_FOLDER,
          "Without files: the folder that holds @vladmandic/face-api and @vladmandic/human. Default: "
          "node_modules."),
    VALUE("to", 0, "FOLDER", CLI_COMPLETE_FOLDER,
          "Without files: the pack's folder, made if absent. Default: packs/default in the data folder."),
    FLAG("quiet", 'q', "Do not show progress."), END};

static const struct cli_option import_onnx_options[] = {
    {"role", "ROLE", "What the files do. Default: guessed from their graphs.",
     "detector landmarks embedder liveness age_gender expression quality", CLI_COMPLETE_WORDS, 'r', false},
    VALUE("out", 'o', "PACK", CLI_COMPLETE_FOLDER,
          "The pack's folder: made, or given further models. Default: packs/NAME in the data folder."),
    VALUE("name", 0, "NAME", CLI_COMPLETE_NONE,
          "The pack's name. Default: its folder's, else the first file's."),
    VALUE("model-name", 0, "NAME", CLI_COMPLETE_NONE, "The model's name. Default: the file's."),
    VALUE("family", 0, "NAME", CLI_COMPLETE_NONE, "The decoder to use. Default: the one whose outputs fit."),
    {"color", "ORDER", "Order of the colours: rgb or bgr. Default: tried.", "rgb bgr", CLI_COMPLETE_WORDS, 0,
     false},
    VALUE("mean", 0, "X[,X,X]", CLI_COMPLETE_NONE,
          "What is subtracted from a pixel of 0 to 255. Default: tried; 0 when only --scale is given."),
    VALUE("scale", 0, "X[,X,X]", CLI_COMPLETE_NONE,
          "What it is then multiplied by. Default: tried; 1 when only --mean is given."),
    VALUE("template", 0, "NAME", CLI_COMPLETE_NONE,
          "How faces are aligned for an embedder. Default: the family's."),
    VALUE("threshold", 't', "COSINE", CLI_COMPLETE_NONE,
          "From which similarity two faces are one person, -1 to 1. Default: estimated; 'frt calibrate' "
          "measures it."),
    VALUE("min-confidence", 0, "X", CLI_COMPLETE_NONE, "Of a detector, 0 to 1. Default: the family's."),
    VALUE("crop-scale", 0, "X", CLI_COMPLETE_NONE,
          "How much of the photo a liveness net sees, in sides of the face's box, 0.1 to 10. Default: by the "
          "file's "
          "name, else the family's."),
    VALUE("licence", 0, "TEXT", CLI_COMPLETE_NONE, "The models' licence, for the manifest. Default: left out."),
    VALUE("photos", 0, "FOLDER", CLI_COMPLETE_FOLDER,
          "Photos to try on; with a folder for each person real pairs are compared. Default: the sample "
          "photos, when "
          "they are there."),
    VALUE("with", 0, "PACK", CLI_COMPLETE_FOLDER,
          "The pack that finds the faces to try on. Default: the default pack."),
    FLAG("no-try", 0, "Take what was published for the family and try nothing."),
    FLAG("dry-run", 0, "Say what would be written, and write nothing."),
    FLAG("default", 0, "Make the models the default ones of their roles."),
    FLAG("force", 'f', "Replace models and files of these names."),
    END};

static const struct cli_option pull_options[] = {
    VALUE("to", 0, "FOLDER", CLI_COMPLETE_FOLDER,
          "The folder of packs, made if absent. Default: packs in the data folder."),
    VALUE("name", 0, "NAME", CLI_COMPLETE_NONE,
          "Call the new pack's folder so. Default: as the catalogue or its manifest calls it."),
    VALUE("mirror", 0, "WHERE", CLI_COMPLETE_FOLDER,
          "A URL or a folder: where the catalogue's files are instead, by their file names. Default: "
          "$FRT_MODELS_MIRROR, else where "
          "their authors publish them."),
    VALUE("sha256", 0, "DIGITS", CLI_COMPLETE_NONE,
          "The SHA-256 that FILE or URL must have. A URL that is not in the catalogue needs it. Default: the "
          "catalogue's."),
    FLAG("accept-licence", 0, "Say that you have read the licence and accept it; nobody is asked."),
    VALUE("catalogue", 0, "FILE", CLI_COMPLETE_FILE,
          "Another catalogue of packs (docs/formats/catalogue-v1.md). Default: the one compiled in."),
    VALUE("ca-file", 0, "FILE", CLI_COMPLETE_FILE,
          "Trust the authorities of this PEM file instead of the system's. Default: the system's."),
    FLAG("force", 'f', "Replace a pack of this name."),
    FLAG("quiet", 'q', "Do not show progress."),
    END};

static const struct cli_option measure_option[] = {
    FLAG("measure", 'm', "Also run each model for about half a second and show its time on one core."), END};

static const struct cli_option compile_options[] = {
    VALUE("out", 'o', "FOLDER", CLI_COMPLETE_FOLDER,
          "The new pack's folder, made if absent; a compiled pack that stands there is replaced. Default: the "
          "pack's, with -compiled behind it."),
    {"precision", "WHAT",
     "'fp32': the same numbers, faster. 'fp16-storage': also weights in half the bytes. 'int8': computing in "
     "8 bits, other embeddings. Default: fp32.",
     "fp32 fp16-storage int8", CLI_COMPLETE_WORDS, 0, false},
    {"batch", "N", "Faces in one run of the embedder: '1', or 'dynamic' for any. Default: as in the file.",
     "1 dynamic", CLI_COMPLETE_WORDS, 0, false},
    VALUE("photos", 0, "FOLDER", CLI_COMPLETE_FOLDER,
          "Photos of faces to check with, and to calibrate int8 on; at most 300 are used. Default: the sample "
          "photos of the npm package, where they are."),
    VALUE("inputs", 0, "N", CLI_COMPLETE_NONE,
          "Faces, or photos, that each model is checked on, 1 to 2000. Default: 96."),
    FLAG("quiet", 'q', "Do not show progress."),
    END};

static const struct cli_option eval_options[] = {
    VALUE("images", 'i', "FOLDER", CLI_COMPLETE_FOLDER,
          "Photos in LFW's layout: FOLDER/Name/Name_0001.jpg. Needed, there is no default."),
    VALUE("pairs", 0, "FILE", CLI_COMPLETE_FILE,
          "Pairs in the format of LFW's View 2. Default: pairs.txt in the photos' folder."),
    VALUE("out", 'o', "FILE", CLI_COMPLETE_FILE, "Write the whole report as JSON. Default: not written."),
    VALUE("roc", 0, "FILE", CLI_COMPLETE_FILE, "Write the ROC curve as SVG. Default: not written."),
    FLAG("force", 'f', "Replace --out and --roc files that exist."),
    END};

static const struct cli_option calibrate_options[] = {
    VALUE("collection", 0, "NAME", CLI_COMPLETE_NONE,
          "Measure on the subjects of this collection. Default: on FOLDER."),
    VALUE("fmr", 0, "SHARE", CLI_COMPLETE_NONE,
          "Recommend a threshold for two photos at which this share of pairs of different people passes: 1e-3, "
          "say. "
          "Default: none."),
    VALUE("fpir", 0, "SHARE", CLI_COMPLETE_NONE,
          "Recommend a threshold for searches at which this share of strangers is named: 0.001 is one false "
          "alarm in a "
          "thousand strangers. Default: none."),
    VALUE("people", 0, "N", CLI_COMPLETE_NONE,
          "People in the gallery that --fpir is for, 1 to 1000000000. Default: as many as there are."),
    VALUE("enrolled", 0, "N", CLI_COMPLETE_NONE,
          "Photos a person there, 1 to 5. Default: 1; with --collection the mean of its people."),
    FLAG("apply", 0,
         "Keep what was measured: beside the pack's manifest, or with --collection in the collection, with "
         "--fpir as its "
         "target."),
    VALUE("table", 0, "FILE", CLI_COMPLETE_FILE, "Write the threshold table (JSON). Default: not written."),
    VALUE("out", 'o', "FILE", CLI_COMPLETE_FILE, "Write the whole report as JSON. Default: not written."),
    VALUE("det", 0, "FILE", CLI_COMPLETE_FILE, "Write FNMR over FMR as SVG. Default: not written."),
    VALUE("scores", 0, "FILE", CLI_COMPLETE_FILE,
          "Write the distributions of the scores as SVG. Default: not written."),
    FLAG("halves", 0, "Also find thresholds on half of the people and show what they do among the other half."),
    VALUE("samples", 0, "N", CLI_COMPLETE_NONE,
          "Samples of people for the intervals, 20 to 10000. Default: 300."),
    VALUE("photos", 0, "N", CLI_COMPLETE_NONE,
          "Photos used at most, 100 to 50000; of more, people are drawn. Default: 12000."),
    VALUE("seed", 0, "N", CLI_COMPLETE_NONE, "Seed of what is drawn, 0 to 1000000000. Default: 0."),
    FLAG("force", 'f', "Replace files that exist, the pack's table with --apply included."),
    END};

static const struct cli_option eval_identify_options[] = {
    VALUE("splits", 0, "N", CLI_COMPLETE_NONE,
          "Random splits into gallery and probes, 1 to 1000; their searches are pooled. Default: 20."),
    VALUE("seed", 0, "N", CLI_COMPLETE_NONE, "Seed of the splits, 0 to 1000000000. Default: 0."),
    VALUE("out", 'o', "FILE", CLI_COMPLETE_FILE, "Write the whole report as JSON. Default: not written."),
    VALUE("plot", 0, "FILE", CLI_COMPLETE_FILE, "Write FNIR over FPIR as SVG. Default: not written."),
    FLAG("force", 'f', "Replace --out and --plot files that exist."),
    END};

static const struct cli_option eval_detect_options[] = {
    VALUE("boxes", 'b', "FILE", CLI_COMPLETE_FILE,
          "Labelled boxes: dlib's XML or WIDER FACE's text list, photos named relative to FOLDER. Needed, "
          "there is no "
          "default; may be given several times, all of them count."),
    VALUE(
        "min-confidence", 0, "X", CLI_COMPLETE_NONE,
        "Confidence whose misses and false alarms are listed, 0 to 1; average precision does not depend on it. "
        "Default: the pack's."),
    VALUE("min-size", 0, "PIXELS", CLI_COMPLETE_NONE,
          "Ignore labelled faces whose shorter side is less, 0 to 100000: finding them is neither right nor "
          "wrong. "
          "Default: 0."),
    VALUE("seed", 0, "N", CLI_COMPLETE_NONE, "Seed of the bootstrap, 0 to 1000000000. Default: 0."),
    VALUE("out", 'o', "FILE", CLI_COMPLETE_FILE, "Write the whole report as JSON. Default: not written."),
    VALUE("plot", 0, "FILE", CLI_COMPLETE_FILE, "Write precision over recall as SVG. Default: not written."),
    FLAG("force", 'f', "Replace --out and --plot files that exist."),
    END};

static const struct cli_option eval_liveness_options[] = {
    VALUE("threshold", 't', "X", CLI_COMPLETE_NONE,
          "Spoof confidence from which a face counts as a spoof, 0 to 1. Default: the pack's."),
    VALUE("out", 'o', "FILE", CLI_COMPLETE_FILE, "Write the whole report as JSON. Default: not written."),
    VALUE("plot", 0, "FILE", CLI_COMPLETE_FILE,
          "Write both rates over the threshold as SVG. Default: not written."),
    FLAG("force", 'f', "Replace --out and --plot files that exist."), END};

static const struct cli_option eval_quality_options[] = {
    VALUE("fmr", 0, "SHARE", CLI_COMPLETE_NONE,
          "False match rate of all photos together, whose threshold counts, over 0 to 0.5. Default: 0.001."),
    VALUE("half", 0, "N", CLI_COMPLETE_NONE,
          "Every second person only, from the first (1) or the second (2) on: what one half taught, the other "
          "judges. "
          "Default: all."),
    VALUE("seed", 0, "N", CLI_COMPLETE_NONE, "Seed of the bootstrap, 0 to 1000000000. Default: 0."),
    VALUE("out", 'o', "FILE", CLI_COMPLETE_FILE, "Write the whole report as JSON. Default: not written."),
    VALUE("plot", 0, "FILE", CLI_COMPLETE_FILE,
          "Write FNMR over discarded photos as SVG. Default: not written."),
    FLAG("force", 'f', "Replace --out and --plot files that exist."),
    END};

static const struct cli_option config_option[] = {
    VALUE("config", 'c', "FILE", CLI_COMPLETE_FILE,
          "Read settings from FILE: lines of 'key = value'. Default: $FRT_CONFIG, else none."),
    END};

static const struct cli_option database_option[] = {
    VALUE("database", 0, "FILE", CLI_COMPLETE_FILE,
          "Database of collections, users and keys. Default: $FRT_DATABASE, else frt.db in the data folder."),
    VALUE(
        "store", 0, "ADDRESS", CLI_COMPLETE_NONE,
        "The same as an address: sqlite:FILE or postgresql://user@host/database. Default: $FRT_STORE, else as "
        "--database."),
    END};

static const struct cli_option quiet_option[] = {FLAG("quiet", 'q', "Do not show progress."), END};

static const struct cli_option setting_options[] = {
    VALUE(
        "threshold", 't', "COSINE", CLI_COMPLETE_NONE,
        "Similarity from which a face is a match, -1 to 1; 'default' is what the pack takes for the number of "
        "people. Default: as it is; of a new collection 'default'."),
    VALUE("target-fpir", 0, "SHARE", CLI_COMPLETE_NONE,
          "Share of strangers that may come out as somebody, 0 to 1, or 'none' for 0.01: where no threshold is "
          "set, "
          "that of searches follows from it and the number of people. Default: as it is; of a new collection "
          "none."),
    VALUE("metadata", 0, "JSON", CLI_COMPLETE_NONE,
          "A JSON object to keep with it, at most 16 KiB. Default: as it is; of what is new {}."),
    END};

static const struct cli_option enroll_options[] = {
    VALUE("subject", 's', "NAME", CLI_COMPLETE_NONE,
          "Whose photos these are, at most 256 bytes. Default: none; needed with PHOTO."),
    VALUE("from", 0, "FOLDER", CLI_COMPLETE_FOLDER,
          "Enroll a folder tree: FOLDER/NAME/photo.jpg is a photo of NAME. Default: none."),
    VALUE("csv", 0, "MAP", CLI_COMPLETE_FILE,
          "Enroll what the lines path,subject[,face_id] of MAP name; '-' is standard input. Default: none."),
    {"on-multiple", "WHAT",
     "What to do with a photo of several faces: take the largest where it is 'clear', with at least twice the "
     "area of any other, and reject the rest; 'reject' all; take the 'largest', or 'all' as one person's. "
     "Default: clear.",
     "clear reject largest all", CLI_COMPLETE_WORDS, 0, false},
    {"on-duplicate", "WHAT",
     "What to do with a face that matches another subject, or that the subject has already: 'allow' or "
     "'reject'. "
     "Default: allow.",
     "allow reject", CLI_COMPLETE_WORDS, 0, false},
    VALUE("min-quality", 0, "X", CLI_COMPLETE_NONE,
          "Reject faces of a lower quality score, 0 to 1; see 'frt detect --attributes quality'. Default: 0."),
    FLAG("require-live", 0, "Reject faces that look like a print, a screen or a mask."),
    VALUE("min-confidence", 0, "X", CLI_COMPLETE_NONE,
          "Ignore faces the detector is less sure of, 0 to 1. Default: the pack's."),
    VALUE("face-id", 0, "ID", CLI_COMPLETE_NONE,
          "Id of the face of a single PHOTO. Default: made from the photo's bytes."),
    VALUE("metadata", 0, "JSON", CLI_COMPLETE_NONE,
          "A JSON object to keep with each face, beside file and sha256. Default: {}."),
    VALUE("report", 0, "FILE", CLI_COMPLETE_FILE,
          "Write every photo that failed, and why, then a summary, as JSON lines. Default: not written."),
    FLAG("force", 'f', "Replace a --report file that exists."),
    FLAG("again", 0,
         "Look again at photos of --from or --csv that were refused before, by the same models and options, "
         "for what "
         "they show."),
    END};

static const struct cli_option search_options[] = {
    VALUE("top-k", 'k', "N", CLI_COMPLETE_NONE, "Most subjects to name for a face, 1 to 1000. Default: 5."),
    VALUE("threshold", 't', "COSINE", CLI_COMPLETE_NONE,
          "Similarity from which a face is a match, -1 to 1. Default: the face's own, else the collection's, "
          "else what the pack takes for a gallery of this size."),
    FLAG("candidates", 0, "Also name the most similar subjects that are no match."),
    FLAG("probability", 0,
         "Say of each match how many strangers would be as similar to anybody in the collection, where a "
         "threshold "
         "table tells (docs/thresholds.md)."),
    {"score", "HOW",
     "How a subject of several faces scores: as its most similar face, 'best', or as their normalised mean, "
     "'fused'. Default: fused, which identifies better, see docs/eval.md.",
     "best fused", CLI_COMPLETE_WORDS, 0, false},
    FLAG("require-live", 0, "Name nobody by a face that looks like a print, a screen or a mask."),
    FLAG("every-face", 0, "Name a subject once for each of its faces that match."),
    VALUE("max-faces", 'n', "N", CLI_COMPLETE_NONE,
          "Look at N faces of a photo at most, 1 to 1000, the largest first. Default: 1."),
    VALUE("min-confidence", 0, "X", CLI_COMPLETE_NONE,
          "Ignore faces the detector is less sure of, 0 to 1. Default: the pack's."),
    END};

static const struct cli_option trace_options[] = {
    VALUE("collection", 0, "NAME", CLI_COMPLETE_NONE,
          "Search this collection for the photo's largest face. Default: only its embedding is computed."),
    VALUE("url", 0, "URL", CLI_COMPLETE_NONE,
          "Ask the service there, as http://HOST:PORT. Default: this program does the work itself."),
    VALUE("key-file", 0, "FILE", CLI_COMPLETE_FILE,
          "The first line of FILE is the key to send to --url. Default: none is sent."),
    FLAG("warm", 0,
         "Do it once before, unrecorded: indexes and memory are then there, and caches know the photo."),
    VALUE("svg", 0, "FILE", CLI_COMPLETE_FILE, "Also write the timeline as SVG. Default: not written."),
    FLAG("force", 'f', "Replace an --svg file that exists."),
    END};

static const struct cli_option face_list_options[] = {
    VALUE("subject", 's', "NAME", CLI_COMPLETE_NONE, "Only this subject's faces. Default: everybody's."),
    FLAG("embeddings", 0, "With --json, list the embeddings, too."), END};

static const struct cli_option import_ndjson_options[] = {
    VALUE("model", 0, "NAME", CLI_COMPLETE_NONE,
          "Model of the embeddings, as 'name version'. Default: the collection's, else the pack's embedder."),
    VALUE("dim", 0, "N", CLI_COMPLETE_NONE,
          "Numbers in an embedding, 1 to 4096; goes with --model. Default: the model's."),
    VALUE("pack", 'p', "FOLDER", CLI_COMPLETE_FOLDER,
          "Model pack to use. Default: $FRT_PACK, else packs/default in the data folder."),
    END};

static const struct cli_option import_faiss_options[] = {
    VALUE("collection", 0, "NAME", CLI_COMPLETE_NONE, "Only this collection of the folder. Default: all."),
    VALUE("model", 0, "NAME", CLI_COMPLETE_NONE,
          "Model that made the vectors, as 'name version'. Default: the pack's embedder."),
    VALUE("pack", 'p', "FOLDER", CLI_COMPLETE_FOLDER,
          "Model pack to use. Default: $FRT_PACK, else packs/default in the data folder."),
    END};

static const struct cli_option replace_option[] = {FLAG("force", 'f', "Replace a file that exists."), END};

static const struct cli_option role_option[] = {
    {"role", "ROLE",
     "What it may do: 'reader' detect, embed, verify, search and list; 'writer' also enroll and delete faces; "
     "'admin' everything. Default: reader.",
     "reader writer admin", CLI_COMPLETE_WORDS, 'r', false},
    END};

static const struct cli_option key_options[] = {
    VALUE("days", 0, "N", CLI_COMPLETE_NONE, "Days until the key ends, 1 to 36500. Default: it does not."),
    END};

static const struct cli_option migrate_options[] = {
    FLAG("dry-run", 0, "Change nothing: tell how many faces have what it takes."),
    FLAG("commit", 0, "Switch, when every face is ready."),
    FLAG("rollback", 0, "Switch back to the former embeddings."),
    FLAG("forget-old", 0, "Forget the former embeddings; there is no way back then."),
    VALUE("set-aside", 0, "NAME", CLI_COMPLETE_NONE,
          "With --commit or --rollback: keep faces without an embedding in a new collection NAME, as they are. "
          "Default: they prevent the switch."),
    VALUE(
        "threshold", 't', "COSINE", CLI_COMPLETE_NONE,
        "The collection's threshold after the switch, -1 to 1. Default: the pack's; with --rollback the former "
        "one."),
    END};

const struct cli_option *const cli_detect_options[] = {face_options, model_options, batch_options,
                                                       draw_options, json_option,   NULL};
const struct cli_option *const cli_embed_options[] = {embed_options, face_options, model_options, batch_options,
                                                      draw_options,  json_option,  NULL};
const struct cli_option *const cli_verify_options[] = {verify_options, model_options, json_option, NULL};
const struct cli_option *const cli_import_options[] = {import_options, import_onnx_options, json_option, NULL};
const struct cli_option *const cli_pull_options[] = {pull_options, json_option, NULL};
const struct cli_option *const cli_pack_options[] = {pack_option, json_option, NULL};
const struct cli_option *const cli_list_options[] = {pack_option, measure_option, json_option, NULL};
const struct cli_option *const cli_compile_options[] = {compile_options, json_option, NULL};
const struct cli_option *const cli_eval_options[] = {eval_options, model_options, batch_options, json_option,
                                                     NULL};
const struct cli_option *const cli_eval_identify_options[] = {eval_identify_options, model_options,
                                                              batch_options, json_option, NULL};
const struct cli_option *const cli_eval_detect_options[] = {eval_detect_options, model_options, batch_options,
                                                            json_option, NULL};
const struct cli_option *const cli_eval_liveness_options[] = {eval_liveness_options, model_options,
                                                              batch_options, json_option, NULL};
const struct cli_option *const cli_calibrate_options[] = {calibrate_options, model_options, batch_options,
                                                          database_option,   json_option,   NULL};
const struct cli_option *const cli_eval_quality_options[] = {eval_quality_options, model_options, batch_options,
                                                             json_option, NULL};
const struct cli_option *const cli_serve_options[] = {config_option, NULL};
const struct cli_option *const cli_ping_options[] = {ping_options, config_option, NULL};
const struct cli_option *const cli_doctor_options[] = {config_option, json_option, NULL};
const struct cli_option *const cli_json_options[] = {json_option, NULL};

const struct cli_option *const cli_enroll_options[] = {enroll_options,  model_options, batch_options,
                                                       database_option, json_option,   NULL};
const struct cli_option *const cli_search_options[] = {search_options,  model_options, batch_options,
                                                       database_option, json_option,   NULL};
const struct cli_option *const cli_trace_options[] = {trace_options, model_options, database_option,
                                                      json_option, NULL};
const struct cli_option *const cli_setting_options[] = {setting_options, database_option, json_option, NULL};
const struct cli_option *const cli_database_options[] = {database_option, json_option, NULL};
const struct cli_option *const cli_face_list_options[] = {face_list_options, embed_options, database_option,
                                                          json_option, NULL};
const struct cli_option *const cli_migrate_options[] = {migrate_options, model_options, batch_options,
                                                        database_option, json_option,   NULL};
const struct cli_option *const cli_migrate_store_options[] = {quiet_option, json_option, NULL};
const struct cli_option *const cli_rebuild_options[] = {quiet_option, database_option, json_option, NULL};
const struct cli_option *const cli_import_ndjson_options[] = {import_ndjson_options, quiet_option,
                                                              database_option, json_option, NULL};
const struct cli_option *const cli_import_faiss_options[] = {import_faiss_options, quiet_option,
                                                             database_option, json_option, NULL};
const struct cli_option *const cli_export_faiss_options[] = {replace_option, database_option, json_option,
                                                             NULL};
const struct cli_option *const cli_export_ndjson_options[] = {replace_option, quiet_option, database_option,
                                                              json_option, NULL};
const struct cli_option *const cli_role_options[] = {role_option, database_option, json_option, NULL};
const struct cli_option *const cli_key_options[] = {role_option, key_options, database_option, json_option,
                                                    NULL};

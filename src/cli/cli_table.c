#include "cli/cli_table.h"

#include "cli/commands.h"

/* ----------------------------------------------------------- option groups */

#define END                                                                                                    \
    {                                                                                                          \
        0                                                                                                      \
    }

static const struct cli_option pack_options[] = {
    {"pack", 'p', "FOLDER", "Model pack to use. Default: $FRT_PACK, else packs/default in the data folder.",
     CLI_COMPLETE_FOLDER, NULL},
    {"detector", 0, "NAME", "Detector of the pack, by its name in 'frt models list'. Default: the pack's.",
     CLI_COMPLETE_NONE, NULL},
    {"threads", 0, "N", "Cores one inference may use, 1 to 1024. Default: all.", CLI_COMPLETE_NONE, NULL},
    END};

static const struct cli_option face_options[] = {
    {"max-faces", 'n', "N", "Return at most N faces, the largest first. Default: 1000.", CLI_COMPLETE_NONE,
     NULL},
    {"min-confidence", 0, "X", "Drop faces the detector is less sure of, 0 to 1. Default: the pack's.",
     CLI_COMPLETE_NONE, NULL},
    {"min-size", 0, "PIXELS", "Drop faces whose shorter side is less. Default: 0.", CLI_COMPLETE_NONE, NULL},
    {"attributes", 'a', "LIST",
     "Also compute, comma-separated: quality, liveness, age, gender, expression, or all.", CLI_COMPLETE_WORDS,
     "quality liveness age gender expression all"},
    END};

static const struct cli_option batch_options[] = {
    {"jobs", 'j', "N", "Photos worked on at once; the output keeps the order of the input. Default: cores.",
     CLI_COMPLETE_NONE, NULL},
    {"quiet", 'q', NULL, "No progress.", CLI_COMPLETE_NONE, NULL},
    END};

static const struct cli_option json_option[] = {
    {"json", 0, NULL, "Machine-readable output, one JSON object a line.", CLI_COMPLETE_NONE, NULL}, END};

static const struct cli_option draw_options[] = {
    {"draw", 'd', "OUT",
     "Draw boxes, landmarks and scores on the photo and write it as JPEG: to the file OUT for "
     "one photo, into the folder OUT for several.",
     CLI_COMPLETE_FILE, NULL},
    {"force", 'f', NULL, "Let --draw replace files that exist (never a photo that was read).",
     CLI_COMPLETE_NONE, NULL},
    END};

static const struct cli_option embed_options[] = {
    {"encoding", 'e', "HOW",
     "Embeddings in JSON as 'array' of numbers (default) or 'base64' of little-endian f32.", CLI_COMPLETE_WORDS,
     "array base64"},
    END};

static const struct cli_option verify_options[] = {
    {"threshold", 't', "COSINE",
     "Similarity from which two faces count as one person, -1 to 1. Default: the pack's.", CLI_COMPLETE_NONE,
     NULL},
    {"min-confidence", 0, "X", "Ignore faces the detector is less sure of, 0 to 1. Default: the pack's.",
     CLI_COMPLETE_NONE, NULL},
    END};

static const struct cli_option import_options[] = {
    {"from", 0, "FOLDER",
     "The node_modules folder that holds @vladmandic/face-api and @vladmandic/human. Default: "
     "node_modules.",
     CLI_COMPLETE_FOLDER, NULL},
    {"to", 0, "FOLDER", "The pack's folder, made if absent. Default: packs/default in the data folder.",
     CLI_COMPLETE_FOLDER, NULL},
    {"quiet", 'q', NULL, "No progress.", CLI_COMPLETE_NONE, NULL},
    END};

static const struct cli_option eval_options[] = {
    {"images", 'i', "FOLDER", "Photos in LFW's layout: FOLDER/Name/Name_0001.jpg.", CLI_COMPLETE_FOLDER, NULL},
    {"pairs", 0, "FILE", "Pairs in LFW's View 2 format.", CLI_COMPLETE_FILE, NULL},
    {"out", 'o', "FILE", "Write the whole report as JSON.", CLI_COMPLETE_FILE, NULL},
    {"roc", 0, "FILE", "Write the ROC curve as SVG.", CLI_COMPLETE_FILE, NULL},
    {"force", 'f', NULL, "Replace --out and --roc files that exist.", CLI_COMPLETE_NONE, NULL},
    END};

static const struct cli_option config_option[] = {
    {"config", 'c', "FILE", "Read settings from FILE: lines of 'key = value'. Default: $FRT_CONFIG.",
     CLI_COMPLETE_FILE, NULL},
    END};

static const struct cli_option *const detect_groups[] = {face_options, pack_options, batch_options,
                                                         draw_options, json_option,  NULL};
static const struct cli_option *const embed_groups[] = {
    embed_options, face_options, pack_options, batch_options, draw_options, json_option, NULL};
static const struct cli_option *const verify_groups[] = {verify_options, pack_options, json_option, NULL};
static const struct cli_option *const import_groups[] = {import_options, json_option, NULL};
static const struct cli_option *const pack_groups[] = {pack_options, json_option, NULL};
static const struct cli_option *const eval_groups[] = {eval_options, pack_options, batch_options, json_option,
                                                       NULL};
static const struct cli_option *const serve_groups[] = {config_option, NULL};
static const struct cli_option *const doctor_groups[] = {config_option, json_option, NULL};
static const struct cli_option *const json_groups[] = {json_option, NULL};

/* ---------------------------------------------------------------- commands */

#define MANY 1000000

const struct cli_command cli_commands[] = {
    {"detect", "PHOTO|FOLDER|- …", 1, MANY, "find the faces in photos",
     "Finds the faces in each photo and prints their boxes, confidences and five landmarks, the largest face "
     "first. JPEG, PNG, WebP, HEIC and AVIF are told by their content, not by their names.\n\n"
     "A folder stands for every photo below it, in the order of their names; hidden files and links to folders "
     "are passed over. '-' reads one photo from standard input.\n\n"
     "A photo that cannot be read is reported and the rest goes on; the exit status is then that of the first "
     "failure. A photo without a face is no failure of this command unless no photo has one: then the status "
     "is 4.",
     detect_groups, false,
     "frt detect party.jpg\n  Faces in one photo.\n"
     "frt detect --attributes all --draw marked.jpg party.jpg\n  With quality, liveness, age, gender and "
     "expression, and a drawing.\n"
     "frt detect --json --jobs 2 album/ | jq '.faces | length'\n  How many faces in each photo of a folder.\n",
     CLI_COMPLETE_FILE, cli_detect},
    {"embed", "PHOTO|FOLDER|- …", 1, MANY, "compute the embeddings of the faces in photos",
     "As 'frt detect', and computes for each face the embedding by which it is compared: an L2-normalised "
     "vector "
     "whose size depends on the pack. Text output shows its first numbers; --json has all.",
     embed_groups, false,
     "frt embed --json --encoding base64 staff/ > staff.ndjson\n  Embeddings of everybody in a folder.\n",
     CLI_COMPLETE_FILE, cli_embed},
    {"verify", "REFERENCE PHOTO …", 2, MANY, "tell whether photos show the same person",
     "Compares the largest face of REFERENCE with the largest face of each PHOTO. Two faces count as the same "
     "person when their cosine similarity reaches the threshold. The exit status is 0 when all are verified, 5 "
     "when at least one is not, 4 when a photo shows no face.",
     verify_groups, false,
     "frt verify passport.jpg selfie.jpg\n  Same person?\n"
     "frt verify --threshold 0.6 badge.jpg door1.jpg door2.jpg && echo welcome\n  Stricter, against two "
     "photos.\n",
     CLI_COMPLETE_FILE, cli_verify},
    {"models list", "", 0, 0, "show the models of a pack",
     "Lists the pack's models with their role, family, input size, file size and licence, and whether each "
     "file "
     "is the one the manifest pins.",
     pack_groups, false, "frt models list\n  The default pack.\n", CLI_COMPLETE_NONE, cli_models_list},
    {"models import", "", 0, 0, "make the default pack from its npm packages",
     "Converts the weights inside the npm packages @vladmandic/face-api and @vladmandic/human into ONNX files "
     "and "
     "writes them with a manifest. Files are replaced one by one and only when complete.",
     import_groups, false,
     "frt models import --from node_modules --to data/packs/default\n  What 'make serve' does.\n",
     CLI_COMPLETE_NONE, cli_models_import},
    {"models verify", "", 0, 0, "check a pack's files and load every model",
     "Compares each file with the SHA-256 of the manifest and opens every model in the runtime.", pack_groups,
     false, "frt models verify --pack /var/lib/frt/packs/default\n  After copying a pack.\n", CLI_COMPLETE_NONE,
     cli_models_verify},
    {"eval pairs", "", 0, 0, "measure verification accuracy on labelled pairs",
     "Runs LFW's verification protocol over a folder of photos: accuracy by folds, the share of true matches "
     "accepted at false accept rates of 1 in 100 and 1 in 1000, photos without a face, time per stage. The "
     "report "
     "says how each number is defined; so does docs/eval.md.",
     eval_groups, false,
     "frt eval pairs --images lfw --pairs pairs.txt --roc roc.svg --out report.json\n  Accuracy, curve and "
     "report.\n",
     CLI_COMPLETE_NONE, cli_eval_pairs},
    {"serve", "", 0, 0, "run the HTTP service",
     "Serves the API of docs/api.md and the console until SIGTERM or SIGINT; requests in flight are finished "
     "first. "
     "Without credentials it listens on loopback addresses only.\n\n"
     "Every setting is an option, an environment variable and a key of the settings file; options win over the "
     "environment, which wins over the file.",
     serve_groups, true,
     "frt serve\n  On http://127.0.0.1:8080.\n"
     "frt serve --listen 127.0.0.1:9000 --log-json true\n  Another port, logs for machines.\n",
     CLI_COMPLETE_NONE, cli_serve},
    {"doctor", "", 0, 0, "check this machine and say how to mend what is wrong",
     "Checks the processor, the inference runtime, image formats, the model pack, limits, the data folder and "
     "the "
     "service's port. Exit status 7 when something must be mended.",
     doctor_groups, true, "frt doctor\n  Before asking for help.\n", CLI_COMPLETE_NONE, cli_doctor},
    {"completion bash", "", 0, 0, "print the completion for bash",
     "Prints a script for bash. Load it with: source <(frt completion bash)", NULL, false,
     "frt completion bash > /etc/bash_completion.d/frt\n  For all users.\n", CLI_COMPLETE_NONE,
     cli_completion_bash},
    {"man", "", 0, 0, "print the manual page",
     "Prints the manual page in roff, made from the same table as --help.", NULL, false,
     "frt man | man -l -\n  Read it.\n", CLI_COMPLETE_NONE, cli_man},
    {"version", "", 0, 0, "print versions",
     "Prints the version of frt, of the inference runtime and what was built in.", json_groups, false,
     "frt version --json\n  For bug reports.\n", CLI_COMPLETE_NONE, cli_version},
    {0}};

const char *const cli_exit_codes[] = {"0\tsuccess",
                                      "1\tsomething unexpected failed, e.g. the disk is full",
                                      "2\tunknown command or option, missing or wrong argument",
                                      "3\tan input is missing, no image, damaged or too large",
                                      "4\tno face where one is needed",
                                      "5\tnot verified: the photos do not show the same person",
                                      "6\ta model or pack is missing, damaged or unsuitable",
                                      "7\tthis machine lacks something: runtime, port, memory",
                                      "130\tinterrupted",
                                      NULL};

const char *const cli_environment[] = {"FRT_PACK\tthe model pack's folder",
                                       "FRT_DATA_DIR\tthe data folder; default ./data when it holds packs, "
                                       "else ~/.local/share/frt or /var/lib/frt "
                                       "when there, else ./data",
                                       "FRT_RUNTIME\tthe ONNX Runtime library to load",
                                       "FRT_CONFIG\tthe settings file of serve and doctor",
                                       "FRT_SIMD\tlimit the instruction sets used: scalar, avx2, avx512, neon",
                                       "NO_COLOR\twhen set, text has no colours",
                                       NULL};

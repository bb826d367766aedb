#include "cli/cli_table.h"

#include "cli/commands.h"

/* ----------------------------------------------------------- option groups */

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
    VALUE("threshold", 't', "COSINE", CLI_COMPLETE_NONE,
          "Similarity from which two faces count as one person, -1 to 1. Default: the pack's."),
    VALUE("min-confidence", 0, "X", CLI_COMPLETE_NONE,
          "Ignore faces the detector is less sure of, 0 to 1. Default: the pack's."),
    END};

static const struct cli_option import_options[] = {
    VALUE("from", 0, "FOLDER", CLI_COMPLETE_FOLDER,
          "The folder that holds @vladmandic/face-api and @vladmandic/human. Default: node_modules."),
    VALUE("to", 0, "FOLDER", CLI_COMPLETE_FOLDER,
          "The pack's folder, made if absent. Default: packs/default in the data folder."),
    FLAG("quiet", 'q', "Do not show progress."), END};

static const struct cli_option eval_options[] = {
    VALUE("images", 'i', "FOLDER", CLI_COMPLETE_FOLDER,
          "Photos in LFW's layout: FOLDER/Name/Name_0001.jpg. Needed, there is no default."),
    VALUE("pairs", 0, "FILE", CLI_COMPLETE_FILE,
          "Pairs in the format of LFW's View 2. Default: pairs.txt in the photos' folder."),
    VALUE("out", 'o', "FILE", CLI_COMPLETE_FILE, "Write the whole report as JSON. Default: not written."),
    VALUE("roc", 0, "FILE", CLI_COMPLETE_FILE, "Write the ROC curve as SVG. Default: not written."),
    FLAG("force", 'f', "Replace --out and --roc files that exist."),
    END};

static const struct cli_option config_option[] = {
    VALUE("config", 'c', "FILE", CLI_COMPLETE_FILE,
          "Read settings from FILE: lines of 'key = value'. Default: $FRT_CONFIG, else none."),
    END};

static const struct cli_option *const detect_groups[] = {face_options, model_options, batch_options,
                                                         draw_options, json_option,   NULL};
static const struct cli_option *const embed_groups[] = {
    embed_options, face_options, model_options, batch_options, draw_options, json_option, NULL};
static const struct cli_option *const verify_groups[] = {verify_options, model_options, json_option, NULL};
static const struct cli_option *const import_groups[] = {import_options, json_option, NULL};
static const struct cli_option *const pack_groups[] = {pack_option, json_option, NULL};
static const struct cli_option *const eval_groups[] = {eval_options, model_options, batch_options, json_option,
                                                       NULL};
static const struct cli_option *const serve_groups[] = {config_option, NULL};
static const struct cli_option *const doctor_groups[] = {config_option, json_option, NULL};
static const struct cli_option *const json_groups[] = {json_option, NULL};

/* ---------------------------------------------------------------- commands */

#define MANY 1000000

const struct cli_command cli_commands[] = {
    {.name = "detect",
     .arguments = "PHOTO|FOLDER|-…",
     .min_arguments = 1,
     .max_arguments = MANY,
     .summary = "find the faces in photos",
     .description =
         "Finds the faces in each photo and prints their boxes, confidences and, with --json, five landmarks, "
         "the largest face first. Boxes are left,top width x height in pixels of the upright photo. JPEG, PNG, "
         "WebP, HEIC and AVIF are told by their content, not by their names.\n\n"
         "A folder stands for every photo below it, in the order of their names; hidden files and links to "
         "folders are passed over. '-' reads one photo from standard input; so does the name of a pipe, as in "
         "<(command). '--' ends the options, for a file whose name begins with a dash.\n\n"
         "A photo that cannot be read is reported and the rest goes on; the exit status is then that of the "
         "first failure. A photo without a face is no failure unless no photo has one: then the status is 4.",
     .groups = detect_groups,
     .examples =
         "frt detect party.jpg\n  Faces in one photo.\n"
         "frt detect --attributes all --draw marked.jpg party.jpg\n  With quality, liveness, age, gender and "
         "expression, and a drawing.\n"
         "frt detect --json --jobs 2 album/ | jq '.faces | length'\n  How many faces in each photo of a "
         "folder.\n"
         "curl -s https://example.org/photo.jpg | frt detect -\n  A photo from a pipe.\n",
     .see_also = "frt embed, frt verify",
     .complete = CLI_COMPLETE_FILE,
     .run = cli_detect},
    {.name = "embed",
     .arguments = "PHOTO|FOLDER|-…",
     .min_arguments = 1,
     .max_arguments = MANY,
     .summary = "compute the embeddings of the faces in photos",
     .description =
         "As 'frt detect', and computes for each face the embedding by which it is compared: an L2-normalised "
         "vector whose size depends on the pack. Text output shows its first numbers; --json has all.\n\n"
         "Embeddings are personal data: from them a person can be recognised. Keep them as carefully as "
         "passwords. Embeddings of different models cannot be compared.",
     .groups = embed_groups,
     .examples =
         "frt embed --json --encoding base64 staff/ > staff.ndjson\n  Embeddings of everybody in a folder.\n"
         "frt embed --json --max-faces 1 me.jpg | jq '.faces[0].embedding | length'\n  How long is a vector?\n",
     .see_also = "frt detect, frt verify",
     .complete = CLI_COMPLETE_FILE,
     .run = cli_embed},
    {.name = "verify",
     .arguments = "REFERENCE PHOTO…",
     .min_arguments = 2,
     .max_arguments = MANY,
     .summary = "tell whether photos show the same person",
     .description =
         "Compares the largest face of REFERENCE with the largest face of each PHOTO. Two faces count as the "
         "same person when their cosine similarity reaches the threshold. One of the photos may be '-', "
         "standard input.\n\n"
         "The exit status is 0 when all are verified, 5 when at least one is not. A photo that cannot be "
         "judged weighs more: 3 when it cannot be read, 4 when it shows no face. A REFERENCE that cannot be "
         "judged ends the command at once.",
     .groups = verify_groups,
     .examples =
         "frt verify passport.jpg selfie.jpg\n  Same person?\n"
         "frt verify --threshold 0.7 badge.jpg door1.jpg door2.jpg && echo welcome\n  Stricter, against two "
         "photos.\n",
     .see_also = "frt eval pairs (how often a verdict is wrong), frt embed",
     .complete = CLI_COMPLETE_FILE,
     .run = cli_verify},
    {.name = "models list",
     .arguments = "",
     .summary = "show the models of a pack",
     .description = "Lists the pack's models with their role, family, input size, file size and licence, and "
                    "whether each file is the one the manifest pins: ok, CHANGED, MISSING or not pinned.",
     .groups = pack_groups,
     .examples = "frt models list\n  The default pack.\n",
     .see_also = "frt models verify, frt models import",
     .run = cli_models_list},
    {.name = "models import",
     .arguments = "",
     .summary = "make the default pack from its npm packages",
     .description =
         "Converts the weights inside the npm packages @vladmandic/face-api and @vladmandic/human into ONNX "
         "files and writes them with a manifest. The files are put in their places when all are complete, the "
         "manifest last: whatever interrupts the import leaves the pack that stands as it was.",
     .groups = import_groups,
     .examples = "npm install --ignore-scripts @vladmandic/face-api @vladmandic/human\n"
                 "frt models import\n  The default pack, for whoever runs this.\n"
                 "frt models import --from node_modules --to data/packs/default\n  What 'make serve' does.\n",
     .see_also = "frt models list, frt models verify",
     .run = cli_models_import},
    {.name = "models verify",
     .arguments = "",
     .summary = "check a pack's files and load every model",
     .description = "Compares each file with the SHA-256 of the manifest and opens every model in the runtime. "
                    "The exit status is 6 when a file is missing or changed, or a model cannot be used.",
     .groups = pack_groups,
     .examples = "frt models verify --pack /var/lib/frt/packs/default\n  After copying a pack.\n",
     .see_also = "frt models list, frt doctor",
     .run = cli_models_verify},
    {.name = "eval pairs",
     .arguments = "",
     .summary = "measure verification accuracy on labelled pairs",
     .description =
         "Runs LFW's verification protocol over a folder of photos: accuracy by folds, the share of true "
         "matches accepted at false accept rates of 1 in 100 and 1 in 1000, photos without a face, time per "
         "stage. The report says how each number is defined; so does docs/eval.md.",
     .groups = eval_groups,
     .examples = "frt eval pairs --images lfw --pairs pairs.txt --roc roc.svg --out report.json\n  Accuracy, "
                 "curve and report.\n",
     .see_also = "frt verify",
     .run = cli_eval_pairs},
    {.name = "serve",
     .arguments = "",
     .summary = "run the HTTP service",
     .description =
         "Serves the API of docs/api.md and the console until SIGTERM or SIGINT; requests in flight are "
         "finished first, a second signal cuts them short. Without credentials it listens on loopback "
         "addresses only. Log lines go to standard error.\n\n"
         "Every setting is an option, an environment variable and a key of the settings file; options win over "
         "the environment, which wins over the file.",
     .groups = serve_groups,
     .takes_config = true,
     .examples = "frt serve\n  On http://127.0.0.1:8080.\n"
                 "frt serve --listen 127.0.0.1:9000 --log-json true\n  Another port, logs for machines.\n"
                 "curl -F image=@photo.jpg http://127.0.0.1:8080/v1/detect\n  Ask it.\n",
     .see_also = "frt doctor, docs/api.md, docs/config.md",
     .run = cli_serve},
    {.name = "doctor",
     .arguments = "",
     .summary = "check this machine and say how to mend what is wrong",
     .description =
         "Checks the processor, limits, memory, the inference runtime, image formats, the model pack, the data "
         "folder and the service's address, with the settings that 'frt serve' would use. Each line is ok, "
         "warn (works, not well) or FAIL, and says how to mend it. The exit status is 7 when a line says FAIL.",
     .groups = doctor_groups,
     .takes_config = true,
     .examples = "frt doctor\n  Before asking for help.\n"
                 "frt doctor --config /etc/frt.conf --json\n  For monitoring.\n",
     .see_also = "frt serve, frt models verify",
     .run = cli_doctor},
    {.name = "completion bash",
     .arguments = "",
     .summary = "print the completion for bash",
     .description = "Prints a script for bash 4 and later. Load it with: source <(frt completion bash)",
     .examples = "frt completion bash > /etc/bash_completion.d/frt\n  For all users.\n",
     .see_also = "frt man",
     .run = cli_completion_bash},
    {.name = "man",
     .arguments = "",
     .summary = "print the manual page",
     .description = "Prints the manual page in roff, made from the same table as --help.",
     .examples = "frt man | man -l -\n  Read it.\n",
     .see_also = "frt help",
     .run = cli_man},
    {.name = "version",
     .arguments = "",
     .summary = "print versions",
     .description = "Prints the version of frt, of the inference runtime and of the compiler, and the "
                    "instruction set in use. 'frt --version' does the same.",
     .groups = json_groups,
     .examples = "frt version --json\n  For bug reports.\n",
     .see_also = "frt doctor",
     .run = cli_version},
    {.name = "help",
     .arguments = "[COMMAND]",
     .max_arguments = 2,
     .summary = "explain a command",
     .description = "Without COMMAND lists the commands. 'frt COMMAND --help' does the same.",
     .examples = "frt help models import\n  What does it do?\n",
     .see_also = "frt man",
     .complete = CLI_COMPLETE_COMMANDS,
     .run = cli_help},
    {0}};

const char *const cli_exit_codes[] = {"0\tsuccess",
                                      "1\ta file cannot be read or written, e.g. the disk is full; no memory",
                                      "2\tunknown command or option, missing or wrong argument or setting",
                                      "3\tan input is missing, no image, damaged or too large",
                                      "4\tno face where one is needed",
                                      "5\tnot verified: the photos do not show the same person",
                                      "6\ta model or pack is missing, damaged or unsuitable",
                                      "7\tthis machine lacks something: runtime, port, memory",
                                      "130\tinterrupted by SIGINT, SIGTERM or SIGHUP",
                                      "141\tthe reader of the output went away: ended by SIGPIPE",
                                      NULL};

const char *const cli_environment[] = {
    "FRT_PACK\tthe model pack's folder",
    ("FRT_DATA_DIR\tthe data folder; when not set: ./data when it holds packs, else ~/.local/share/frt or "
     "/var/lib/frt when there, else ./data"),
    "FRT_RUNTIME\tthe ONNX Runtime library to load",
    "FRT_CONFIG\tthe settings file of serve and doctor; their settings are variables, too: FRT_LISTEN, …",
    "FRT_SIMD\tlimit the instruction sets used: scalar, sse2, avx2, avx512, avx512vnni, neon",
    "NO_COLOR\twhen set and not empty, text has no colours",
    NULL};

const char *const cli_files[] = {
    "data/packs/default/manifest.json\tthe default pack, below the data folder",
    "/usr/local/share/frt/packs/default\twhere a pack is looked for when the data folder has none", NULL};

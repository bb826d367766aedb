#include "cli/cli_table.h"

#include "cli/cli_options.h"
#include "cli/commands.h"

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
     .groups = cli_detect_options,
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
     .groups = cli_embed_options,
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
     .groups = cli_verify_options,
     .examples =
         "frt verify passport.jpg selfie.jpg\n  Same person?\n"
         "frt verify --threshold 0.7 badge.jpg door1.jpg door2.jpg && echo welcome\n  Stricter, against two "
         "photos.\n",
     .see_also = "frt eval pairs (how often a verdict is wrong), frt embed",
     .complete = CLI_COMPLETE_FILE,
     .run = cli_verify},
    {.name = "enroll",
     .arguments = "COLLECTION [PHOTO|FOLDER|-…]",
     .min_arguments = 1,
     .max_arguments = MANY,
     .summary = "enroll the faces of people",
     .description =
         "Puts faces into COLLECTION, which is made when it is not there, so that 'frt search' finds them: of "
         "the PHOTOs of one person, named by --subject; of a folder tree in which each person has a folder "
         "(--from); or of what a CSV map lists (--csv: path,subject[,face_id], quoted as RFC 4180 has it, with "
         "or "
         "without a heading; paths count from the map's folder).\n\n"
         "A photo whose bytes are enrolled already is passed over, so that the same command goes on where an "
         "interrupt stopped it, and takes in what is new. For that the face's id is made of the photo's "
         "SHA-256 "
         "(its first 20 hex digits), and its metadata names the file and the whole SHA-256. A photo of a "
         "folder or a "
         "map that was refused for what it shows is refused again without being looked at (--again looks), "
         "until "
         "models or options change.\n\n"
         "A photo that cannot be taken is reported and the rest goes on; the exit status is then that of the "
         "first failure: 3 for a photo that is damaged, has several faces, is of too low a quality or a "
         "duplicate, 4 for one without a face, 1 when the same photo is enrolled as somebody else. What stands "
         "in "
         "the way of all photos (a full disk, another model) ends the command.",
     .groups = cli_enroll_options,
     .examples =
         "frt enroll friends anna1.jpg anna2.jpg --subject Anna\n  Two photos of Anna.\n"
         "frt enroll friends --from people --report failed.ndjson\n  Everybody: people/Anna/1.jpg, "
         "people/Bert/holiday.png, …\n"
         "frt enroll staff --csv staff.csv --min-quality 0.5 --on-duplicate reject\n  A map, and what is "
         "good enough of it.\n",
     .see_also = "frt search, frt faces list, frt collections create",
     .complete = CLI_COMPLETE_FILE,
     .run = cli_enroll},
    {.name = "search",
     .arguments = "COLLECTION PHOTO|FOLDER|-…",
     .min_arguments = 2,
     .max_arguments = MANY,
     .summary = "tell who is in a photo",
     .description = "Looks for the largest face of each photo in COLLECTION and prints the name of the most "
                    "similar person, "
                    "or 'unknown' when nobody's similarity reaches the threshold, which rises with the number "
                    "of people. --max-faces looks at more "
                    "faces of a photo, "
                    "--candidates also shows who came near.\n\n"
                    "The exit status is 0 when every face that was looked at belongs to somebody, and 8 when "
                    "all photos could "
                    "be judged and at least one face belongs to nobody in the collection. It is 8 for no other "
                    "reason. A photo "
                    "that cannot be judged weighs more: 3 when it cannot be read, 4 when it shows no face.",
     .groups = cli_search_options,
     .examples = "frt search friends new.jpg\n  Who is this?\n"
                 "frt search --max-faces 20 --json friends party.jpg | jq -r '.faces[].matches[0].subject // "
                 "\"unknown\"'\n  Everybody in a picture.\n"
                 "frt search staff door.jpg --threshold 0.7 >&2 && echo open\n  For a script.\n",
     .see_also = "frt enroll, frt verify",
     .complete = CLI_COMPLETE_FILE,
     .run = cli_search},
    {.name = "trace",
     .arguments = "PHOTO",
     .min_arguments = 1,
     .max_arguments = 1,
     .summary = "show where the time of a request goes",
     .description = "Does what 'frt embed --max-faces 1' does with PHOTO, or with --collection what 'frt "
                    "search' does, and draws "
                    "when each step began and how long it took. Waits are hatched, steps that hold others are "
                    "lines. PHOTO may be "
                    "'-', standard input.\n\n"
                    "With --url a running service does the work and tells: its queues, caches and batches "
                    "show, too. The names of "
                    "the steps are explained in docs/api.md.",
     .groups = cli_trace_options,
     .examples =
         "frt trace photo.jpg\n  What does a photo cost here?\n"
         "frt trace --url http://127.0.0.1:8080 --collection friends --svg search.svg photo.jpg\n  And a "
         "search of the service?\n",
     .see_also = "frt search, frt serve",
     .complete = CLI_COMPLETE_FILE,
     .run = cli_trace},
    {.name = "collections list",
     .arguments = "",
     .summary = "list the collections",
     .description = "Lists the database's collections by name, with the number of faces and people in each.",
     .groups = cli_database_options,
     .examples = "frt collections list\n  What is there?\n",
     .see_also = "frt collections show, frt subjects list",
     .run = cli_collections_list},
    {.name = "collections create",
     .arguments = "COLLECTION",
     .min_arguments = 1,
     .max_arguments = 1,
     .summary = "make a collection",
     .description =
         "Makes a collection. Names have 1 to 128 of A-Z a-z 0-9 . _ - and do not begin with a dot. One that "
         "stands already with the same settings is left as it is; with others the command fails. 'frt enroll' "
         "makes collections with default settings by itself. The model of its first face becomes that of the "
         "collection: embeddings of different models cannot be compared.",
     .groups = cli_setting_options,
     .examples = "frt collections create staff --threshold 0.65 --metadata '{\"site\":\"north\"}'\n  Stricter "
                 "than the pack's threshold.\n",
     .see_also = "frt collections set, frt enroll",
     .run = cli_collections_create},
    {.name = "collections show",
     .arguments = "COLLECTION",
     .min_arguments = 1,
     .max_arguments = 1,
     .summary = "describe a collection",
     .description = "Prints a collection's settings, model and size.",
     .groups = cli_database_options,
     .examples = "frt collections show staff\n  Its threshold, and how many people it has.\n",
     .see_also = "frt collections list, frt collections set",
     .run = cli_collections_show},
    {.name = "collections set",
     .arguments = "COLLECTION",
     .min_arguments = 1,
     .max_arguments = 1,
     .summary = "change a collection's settings",
     .description = "Changes the settings that are given; the others stay. Searches use them from then on.",
     .groups = cli_setting_options,
     .examples = "frt collections set staff --threshold 0.7\n  Be stricter.\n"
                 "frt collections set staff --threshold default\n  As the pack says.\n",
     .see_also = "frt collections show",
     .run = cli_collections_set},
    {.name = "collections delete",
     .arguments = "COLLECTION",
     .min_arguments = 1,
     .max_arguments = 1,
     .summary = "delete a collection with all its faces",
     .description =
         "Deletes the collection, its people, their faces and its index. It does not ask, and cannot be "
         "undone: 'frt export ndjson' makes a copy before.",
     .groups = cli_database_options,
     .examples = "frt collections delete friends\n  All of it.\n",
     .see_also = "frt subjects delete, frt faces delete, frt export ndjson",
     .run = cli_collections_delete},
    {.name = "faces list",
     .arguments = "COLLECTION",
     .min_arguments = 1,
     .max_arguments = 1,
     .summary = "list the enrolled faces",
     .description =
         "Lists the faces of a collection, or of one subject, in the order in which they were enrolled.",
     .groups = cli_face_list_options,
     .examples = "frt faces list friends --subject Anna\n  Which photos of Anna?\n"
                 "frt faces list --json friends | jq -r .metadata.file\n  The files they came from.\n",
     .see_also = "frt faces delete, frt subjects list, frt export ndjson",
     .run = cli_faces_list},
    {.name = "faces delete",
     .arguments = "COLLECTION FACE…",
     .min_arguments = 2,
     .max_arguments = MANY,
     .summary = "delete enrolled faces",
     .description =
         "Deletes faces by their ids. Searches do not find them from then on. An id that is not there is "
         "reported, and the others are deleted. A subject whose last face is deleted goes with it.",
     .groups = cli_database_options,
     .examples = "frt faces delete friends 4be1a0c39d5b72f6a801\n  A bad photo.\n",
     .see_also = "frt faces list, frt subjects delete",
     .run = cli_faces_delete},
    {.name = "subjects list",
     .arguments = "COLLECTION",
     .min_arguments = 1,
     .max_arguments = 1,
     .summary = "list the people of a collection",
     .description = "Lists the people of a collection by name, with the number of their faces.",
     .groups = cli_database_options,
     .examples = "frt subjects list friends\n  Who is known?\n",
     .see_also = "frt faces list, frt subjects rename",
     .run = cli_subjects_list},
    {.name = "subjects rename",
     .arguments = "COLLECTION FROM TO",
     .min_arguments = 3,
     .max_arguments = 3,
     .summary = "give a person another name",
     .description = "Renames a subject; its faces stay. A name that another subject has is refused.",
     .groups = cli_database_options,
     .examples = "frt subjects rename friends Ana Anna\n  A slip of the pen.\n",
     .see_also = "frt subjects list",
     .run = cli_subjects_rename},
    {.name = "subjects delete",
     .arguments = "COLLECTION SUBJECT",
     .min_arguments = 2,
     .max_arguments = 2,
     .summary = "delete a person with all their faces",
     .description =
         "Deletes a subject and all faces of it, as a person may ask for. Nothing of them remains in the "
         "collection; photos, exports and backups are elsewhere.",
     .groups = cli_database_options,
     .examples = "frt subjects delete friends Anna\n  Anna wants to be forgotten.\n",
     .see_also = "frt faces delete, frt collections delete",
     .run = cli_subjects_delete},
    {.name = "rebuild",
     .arguments = "COLLECTION",
     .min_arguments = 1,
     .max_arguments = 1,
     .summary = "make a collection's index anew",
     .description =
         "Builds the index of COLLECTION from the database and writes its snapshot. Nothing is lost without: "
         "indexes "
         "are made, kept in shape and, when damaged, rebuilt by themselves. An interrupt leaves the old one.",
     .groups = cli_rebuild_options,
     .examples = "frt rebuild staff\n  After restoring a backup of the database, say.\n",
     .see_also = "frt collections show",
     .run = cli_rebuild},
    {.name = "migrate-store",
     .arguments = "FROM TO",
     .min_arguments = 2,
     .max_arguments = 2,
     .summary = "copy everything from one store to another",
     .description =
         "Copies collections, faces, crops, users and keys from the store FROM to the empty store TO, each "
         "sqlite:FILE or postgresql://user@host/database, in one transaction, and reads every row again from "
         "both. "
         "Ids and numbers stay, so indexes, tokens and keys go on being good. Stop what writes to FROM before. "
         "A "
         "password is better in ~/.pgpass or PGPASSWORD than here.",
     .groups = cli_migrate_store_options,
     .examples =
         "frt migrate-store sqlite:data/frt.db postgresql://frt@db/frt\n  From one machine's file to a server "
         "for several.\n",
     .see_also = "frt serve",
     .run = cli_migrate_store},
    {.name = "migrate",
     .arguments = "COLLECTION",
     .min_arguments = 1,
     .max_arguments = 1,
     .summary = "bring a collection's faces to another pack",
     .description =
         "Embeds the faces of COLLECTION with the pack that --pack names, from the crops that were kept with "
         "them "
         "(FRT_KEEP_CROPS=1 when they were enrolled), beside the present embeddings; compares both over the "
         "collection's own people; and, with --commit, switches in one transaction. Face ids, people and "
         "metadata "
         "stay. Until then searches see the present embeddings. What was interrupted goes on with the same "
         "command.\n\n"
         "A face without a crop cannot be embedded: it is named and prevents the switch, unless --set-aside "
         "keeps "
         "it in a collection of its own. The former embeddings are kept until --forget-old; --rollback goes "
         "back, "
         "and with --pack it embeds what was enrolled since.\n\n"
         "A service may run meanwhile. After the switch it answers 409 for the collection until the new pack "
         "is "
         "loaded (POST /v1/models/reload).",
     .groups = cli_migrate_options,
     .examples = "frt migrate staff --pack data/packs/better\n  How would it be with the other pack?\n"
                 "frt migrate staff --pack data/packs/better --commit\n  Do it.\n"
                 "frt migrate staff --rollback\n  And back.\n",
     .see_also = "frt models list, frt collections show",
     .run = cli_migrate},
    {.name = "import ndjson",
     .arguments = "COLLECTION FILE|-",
     .min_arguments = 2,
     .max_arguments = 2,
     .summary = "take faces from lines of JSON",
     .description =
         "Enrolls embeddings, a face a line: {\"subject\",\"embedding\",\"face_id\"?,\"metadata\"?}; "
         "docs/formats/ndjson-v1.md says it all. COLLECTION is made when it is not there. Faces are committed "
         "in "
         "batches while lines are read; memory stays constant. A line that cannot be taken is reported and the "
         "rest goes on; the exit status is then that of the first one. Face ids that stand already are such "
         "lines, "
         "so that an import that was interrupted can be given again.",
     .groups = cli_import_ndjson_options,
     .examples =
         "frt import ndjson staff backup.ndjson\n  What 'frt export ndjson' wrote.\n"
         "zcat vectors.ndjson.gz | frt import ndjson people --model 'arcface r100' --dim 512 -\n  Embeddings "
         "of another model.\n",
     .see_also = "frt export ndjson, frt enroll",
     .complete = CLI_COMPLETE_FILE,
     .run = cli_import_ndjson},
    {.name = "import faiss",
     .arguments = "FOLDER",
     .min_arguments = 1,
     .max_arguments = 1,
     .summary = "take over the older service's galleries",
     .description =
         "Imports the collections of FOLDER: <collection>.index, a FAISS file, with <collection>.json beside "
         "it. Each "
         "face becomes a subject of its id, with its adaptive threshold. FAISS itself is not needed; "
         "docs/formats/faiss-files.md says which kinds are read. The vectors must come from the model that is "
         "named: "
         "searches with another model's would find nobody.\n\n"
         "Faces are committed in batches; those that are there already are passed over, so that an import that "
         "was "
         "interrupted can be given again. A face that cannot be taken is reported and the rest goes on; the "
         "exit "
         "status is then that of the first one.",
     .groups = cli_import_faiss_options,
     .examples =
         "frt import faiss /srv/old/galleries --model 'facenet 1'\n  All of its collections.\n"
         "frt import faiss /srv/old/galleries --collection staff\n  One, of vectors that the pack's embedder "
         "made.\n",
     .see_also = "frt export faiss, frt import ndjson",
     .complete = CLI_COMPLETE_FILE,
     .run = cli_import_faiss},
    {.name = "export ndjson",
     .arguments = "COLLECTION [FILE]",
     .min_arguments = 1,
     .max_arguments = 2,
     .summary = "write faces as lines of JSON",
     .description = "Writes every face of COLLECTION with its embedding, a line each, to FILE or, without one "
                    "or with '-', to standard output, in constant memory. FILE is written whole or not at all, "
                    "and only its owner may read it: embeddings are personal data.",
     .groups = cli_export_ndjson_options,
     .examples = "frt export ndjson staff backup.ndjson\n  A copy.\n"
                 "frt export ndjson staff | gzip > staff.ndjson.gz\n  A smaller one.\n",
     .see_also = "frt import ndjson, frt faces list",
     .complete = CLI_COMPLETE_FILE,
     .run = cli_export_ndjson},
    {.name = "export faiss",
     .arguments = "COLLECTION FOLDER",
     .min_arguments = 2,
     .max_arguments = 2,
     .summary = "write a gallery as the older service reads it",
     .description =
         "Writes COLLECTION as FOLDER/COLLECTION.index, a flat FAISS file, and FOLDER/COLLECTION.json. The "
         "folder is "
         "made if absent. The older service has one face an id: a subject's further faces are called "
         "subject#face_id.",
     .groups = cli_export_faiss_options,
     .examples = "frt export faiss staff old/\n  old/staff.index and old/staff.json.\n",
     .see_also = "frt import faiss, frt export ndjson",
     .complete = CLI_COMPLETE_FILE,
     .run = cli_export_faiss},
    {.name = "models list",
     .arguments = "",
     .summary = "show the models of a pack",
     .description = "Lists the pack's models with their role, family, input size, file size and licence, and "
                    "whether each file is the one the manifest pins: ok, CHANGED, MISSING or not pinned. The "
                    "precision is that of most weights in the file; with --measure each model's time on this "
                    "machine stands beside it.",
     .groups = cli_list_options,
     .examples = "frt models list\n  The default pack.\n",
     .see_also = "frt models verify, frt models compile, frt models import",
     .run = cli_models_list},
    {.name = "models import",
     .arguments = "[FILE.onnx…]",
     .max_arguments = MANY,
     .summary = "make a pack of ONNX files, or the default pack",
     .description =
         "Makes a pack of ONNX files, or adds them to one (--out). Role and family are read off a graph's "
         "inputs and "
         "outputs, and whether it normalises its input itself; colour order and scale are what was published "
         "for the "
         "family, and tried on faces: a detector by its agreement with the faces that the pack at hand finds, "
         "an "
         "embedder by how far faces of one person lie from others. For every constant it says how sure it is "
         "and why; "
         "every one has an option that overrules it.\n\n"
         "Without files it makes the default pack: the weights inside the npm packages @vladmandic/face-api "
         "and "
         "@vladmandic/human become ONNX files with a manifest. The files are put in their places when all are "
         "complete, the manifest last: whatever interrupts the import leaves the pack that stands as it was.",
     .groups = cli_import_options,
     .examples =
         "frt models import --dry-run arcface.onnx\n  What is it, and how sure is that?\n"
         "frt models import scrfd.onnx arcface.onnx --name mine\n  data/packs/mine, of both.\n"
         "frt models import --photos staff/ --out data/packs/mine net.onnx --role embedder\n  One more, tried "
         "on photos of your own, a folder for each person.\n"
         "npm install --ignore-scripts @vladmandic/face-api @vladmandic/human\n"
         "frt models import\n  The default pack, for whoever runs this.\n"
         "frt models import --from node_modules --to data/packs/default\n  What 'make serve' does.\n",
     .see_also = "frt models list, frt models verify, frt models pull",
     .complete = CLI_COMPLETE_FILE,
     .run = cli_models_import},
    {.name = "models pull",
     .arguments = "[NAME|FILE|URL]",
     .max_arguments = 1,
     .summary = "fetch a well-known pack, or install one from a file",
     .description =
         "Fetches the files of a pack that the catalogue knows, checks each against its pinned SHA-256, and "
         "makes a "
         "pack of them below the data folder. Without an argument it lists the catalogue. FILE is a file of "
         "the "
         "catalogue that was fetched by other means, a zip archive that holds a manifest.json, or a folder "
         "that "
         "does; URL is such an archive.\n\n"
         "A licence that forbids commercial use is shown, and has to be accepted: on a terminal by answering, "
         "in a "
         "script with --accept-licence. Without either the exit status is 2 and nothing is fetched.\n\n"
         "What broke off is taken up again by the same command. A file with another sum is not used: the exit "
         "status "
         "is 6, and the pack that stood there stays. https_proxy, http_proxy, all_proxy and no_proxy are "
         "heeded. "
         "Certificates are always checked.",
     .groups = cli_pull_options,
     .examples =
         "frt models pull\n  What there is.\n"
         "frt models pull opencv-zoo && frt serve --pack data/packs/opencv-zoo\n  A pack that is free for any "
         "use.\n"
         "frt models pull buffalo_l --accept-licence --mirror /mnt/models\n  Without a network: "
         "/mnt/models/buffalo_l.zip is used, if its sum is right.\n"
         "frt models pull https://models.example.org/ours.zip --sha256 d2a8…\n  A pack of your own.\n",
     .see_also = "frt models import, frt models list",
     .complete = CLI_COMPLETE_FILE,
     .run = cli_models_pull},
    {.name = "models verify",
     .arguments = "",
     .summary = "check a pack's files and load every model",
     .description = "Compares each file with the SHA-256 of the manifest and opens every model in the runtime. "
                    "The exit status is 6 when a file is missing or changed, or a model cannot be used.",
     .groups = cli_pack_options,
     .examples = "frt models verify --pack /var/lib/frt/packs/default\n  After copying a pack.\n",
     .see_also = "frt models list, frt doctor",
     .run = cli_models_verify},
    {.name = "models compile",
     .arguments = "[PACK]",
     .max_arguments = 1,
     .summary = "make a faster copy of a pack, checked on faces",
     .description =
         "Rewrites the graphs of the models in the folder PACK, or of the default pack, for the runtime, and "
         "writes them as a new pack. Every new model is run beside its original on what real photos feed it "
         "with: outputs, embeddings and boxes must agree within the precision's bounds, else nothing is "
         "written and the exit status is 6.\n\n"
         "Embeddings of an fp32 or fp16-storage pack are the original's but for rounding: a gallery goes on "
         "with "
         "either. An int8 embedder is another model, its version ends in +int8, and its faces are kept "
         "apart. Models that no face of the photos reaches are copied as they are.",
     .groups = cli_compile_options,
     .examples =
         "frt models compile\n  data/packs/default-compiled, to be used with FRT_PACK or --pack.\n"
         "frt models compile packs/mine --photos faces/ --precision fp16-storage\n  Half the size on disk.\n",
     .see_also = "frt models list, frt models verify",
     .complete = CLI_COMPLETE_FOLDER,
     .run = cli_models_compile},
    {.name = "eval pairs",
     .arguments = "",
     .summary = "measure verification accuracy on labelled pairs",
     .description =
         "Runs LFW's verification protocol over a folder of photos: accuracy by folds, the share of true "
         "matches accepted at false accept rates of 1 in 100 and 1 in 1000, photos without a face, time per "
         "stage. The report says how each number is defined; so does docs/eval.md.",
     .groups = cli_eval_options,
     .examples = "frt eval pairs --images lfw --pairs pairs.txt --roc roc.svg --out report.json\n  Accuracy, "
                 "curve and report.\n",
     .see_also = "frt eval identify, frt eval detect, frt verify",
     .run = cli_eval_pairs},
    {.name = "eval identify",
     .arguments = "FOLDER",
     .min_arguments = 1,
     .max_arguments = 1,
     .summary = "measure how well people are named, and strangers not",
     .description =
         "Enrolls some photos of the people in FOLDER/NAME/photo.jpg, looks for the others and for people who "
         "are "
         "not enrolled, and says how often the right name comes (rank-1), is missed (FNIR) and is given to a "
         "stranger (FPIR): for 1, 2, 3 and 5 enrolled photos a person, with a person scored by the best face "
         "and "
         "by the fused template, at the pack's threshold and at thresholds found for FPIR 0.01 and 0.001. The "
         "splits are random, seeded and pooled; docs/eval.md says how. A threshold for a collection can be "
         "read "
         "from it.",
     .groups = cli_eval_identify_options,
     .examples =
         "frt eval identify lfw --plot identify.svg --out report.json\n  A table, curves and the report.\n",
     .see_also = "frt calibrate, frt search, frt collections set, frt eval pairs",
     .complete = CLI_COMPLETE_FOLDER,
     .run = cli_eval_identify},
    {.name = "eval detect",
     .arguments = "FOLDER",
     .min_arguments = 1,
     .max_arguments = 1,
     .summary = "measure how many faces a detector finds, and what else",
     .description =
         "Runs the pack's detector over photos in FOLDER whose faces are labelled by boxes, and says its "
         "average "
         "precision at an overlap (IoU) of 0.5 and over 0.5 to 0.95, the share of faces found and of "
         "detections "
         "that are right at the pack's confidence, which faces were missed and what was found where no face "
         "is, and "
         "the time a photo. Boxes that the labels call ignored, difficult or invalid do not count either way. "
         "docs/eval.md says how each number is defined.",
     .groups = cli_eval_detect_options,
     .examples = "frt eval detect photos --boxes photos/testing.xml --plot pr.svg\n  A detector against dlib's "
                 "labels.\n"
                 "frt eval detect WIDER_val/images --boxes wider_face_val_bbx_gt.txt --min-size 20 --out "
                 "report.json\n  WIDER FACE, without the tiniest faces.\n",
     .see_also = "frt detect, frt eval pairs, frt models list",
     .complete = CLI_COMPLETE_FOLDER,
     .run = cli_eval_detect},
    {.name = "eval liveness",
     .arguments = "FOLDER|MAP",
     .min_arguments = 1,
     .max_arguments = 1,
     .summary = "measure how many attacks pass for a live face",
     .description =
         "Looks at photos of live faces in FOLDER/real and of prints, screens and masks in FOLDER/fake, where "
         "sub-folders are types of attack, or at those that a CSV map lists (path,real or path,fake,type, "
         "without a "
         "heading; paths count from the map's folder), and says with the pack's liveness nets how many attacks "
         "of each "
         "type count as live (APCER) and how many live faces as spoofs (BPCER), with intervals. docs/eval.md "
         "says how "
         "each number is defined.",
     .groups = cli_eval_liveness_options,
     .examples =
         "frt eval liveness samples --plot liveness.svg\n  samples/real/1.jpg, samples/fake/print/1.jpg, …\n"
         "frt eval liveness samples.csv --threshold 0.8 --json\n  A map, at another threshold.\n",
     .see_also = "frt detect, frt enroll, frt models list",
     .complete = CLI_COMPLETE_FILE,
     .run = cli_eval_liveness},
    {.name = "eval quality",
     .arguments = "FOLDER",
     .min_arguments = 1,
     .max_arguments = 1,
     .summary = "measure what rejecting photos of low quality is worth",
     .description = "Compares all photos of the people in FOLDER/NAME/photo.jpg with one another, and says how "
                    "many of the same "
                    "person are missed (FNMR) at one threshold when the 0, 1, 2, 5, 10 and 20 % of the photos "
                    "of the lowest "
                    "quality are left out: the error-versus-discard curve, by the quality score and by its "
                    "parts, with 95 % "
                    "intervals from samples of people. docs/eval.md says how each number is defined.",
     .groups = cli_eval_quality_options,
     .examples = "frt eval quality lfw --plot quality.svg\n  Is the quality score worth its name?\n"
                 "frt eval quality lfw --half 2 --fmr 1e-4 --json\n  On half of the people, at a lower rate.\n",
     .see_also = "frt detect, frt enroll, frt eval pairs",
     .complete = CLI_COMPLETE_FOLDER,
     .run = cli_eval_quality},
    {.name = "calibrate",
     .arguments = "[FOLDER]",
     .min_arguments = 0,
     .max_arguments = 1,
     .summary = "find the threshold for a rate of false matches",
     .description = "Measures how often different people are taken for one another, and the same person is "
                    "missed, on the photos "
                    "FOLDER/NAME/photo.jpg, or with --collection on the enrolled faces of a collection: at "
                    "which thresholds, with "
                    "95 % intervals, for two photos and for searches in galleries of several sizes. With --fmr "
                    "or --fpir it "
                    "recommends a threshold. What fewer than ten false matches are behind is read from a tail "
                    "fitted to the highest "
                    "scores and marked as extrapolated; what is too far from the data is refused, and the exit "
                    "status is then 1.\n\n"
                    "--apply keeps the result as the pack's threshold table, or as the collection's: its "
                    "searches then take the "
                    "threshold that the number of people and the share of strangers that may be named ask for, "
                    "also as it grows. "
                    "Errors in the labels count as false matches; docs/thresholds.md says how to read it all.",
     .groups = cli_calibrate_options,
     .examples =
         "frt calibrate lfw --fpir 0.001 --people 5000\n  One false alarm in a thousand strangers, in a "
         "gallery of 5,000.\n"
         "frt calibrate --collection staff --fpir 0.001 --apply\n  On its own people, and from now on.\n"
         "frt calibrate lfw --fmr 1e-4 --det det.svg --scores scores.svg\n  For comparing two photos, with "
         "plots.\n",
     .see_also = "frt collections set, frt eval identify, frt search",
     .complete = CLI_COMPLETE_FOLDER,
     .run = cli_calibrate},
    {.name = "serve",
     .arguments = "",
     .summary = "run the HTTP service",
     .description =
         "Serves the API of docs/api.md and the console until SIGTERM or SIGINT; requests in flight are "
         "finished first, a second signal cuts them short. Without credentials it listens on loopback "
         "addresses only. Log lines go to standard error.\n\n"
         "Every setting is an option, an environment variable and a key of the settings file; options win over "
         "the environment, which wins over the file.",
     .groups = cli_serve_options,
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
     .groups = cli_doctor_options,
     .takes_config = true,
     .examples = "frt doctor\n  Before asking for help.\n"
                 "frt doctor --config /etc/frt.conf --json\n  For monitoring.\n",
     .see_also = "frt serve, frt models verify",
     .run = cli_doctor},
    {.name = "ping",
     .arguments = "",
     .summary = "ask a running service whether it is ready",
     .description =
         "Asks /readyz of the service that 'frt serve' with the same settings would be, and waits 5 s at most "
         "for a sign of it. The exit status is 0 when it is ready, 7 when not.",
     .groups = cli_ping_options,
     .takes_config = true,
     .examples = "frt ping\n  For health checks.\n"
                 "until frt ping --url http://127.0.0.1:9000; do sleep 1; done\n  For scripts that wait.\n",
     .see_also = "frt serve, frt doctor",
     .run = cli_ping},
    {.name = "user add",
     .arguments = "EMAIL",
     .min_arguments = 1,
     .max_arguments = 1,
     .summary = "add somebody who may log in",
     .description =
         "Adds a user of the service. The password is typed twice, without being shown; from a pipe it is the "
         "first "
         "line. It has 8 bytes or more, and is never an argument, which others on the machine could read. The "
         "service takes it in at once, and wants credentials from everybody as soon as there is a user or a "
         "key.",
     .groups = cli_role_options,
     .examples = "frt user add anna@example.org --role admin\n  Asks for the password.\n"
                 "pass show frt | frt user add anna@example.org\n  From a password manager.\n",
     .see_also = "frt user password, frt key create, docs/api.md",
     .run = cli_user_add},
    {.name = "user list",
     .arguments = "",
     .summary = "list the users",
     .description = "Lists who may log in, with their roles.",
     .groups = cli_database_options,
     .examples = "frt user list\n  Who?\n",
     .see_also = "frt key list",
     .run = cli_user_list},
    {.name = "user delete",
     .arguments = "EMAIL",
     .min_arguments = 1,
     .max_arguments = 1,
     .summary = "delete a user",
     .description = "Deletes a user; tokens given to them end at once.",
     .groups = cli_database_options,
     .examples = "frt user delete anna@example.org\n  She has left.\n",
     .see_also = "frt user list",
     .run = cli_user_delete},
    {.name = "user password",
     .arguments = "EMAIL",
     .min_arguments = 1,
     .max_arguments = 1,
     .summary = "give a user another password",
     .description =
         "Sets a new password, read as 'frt user add' reads it; tokens given out before end at once.",
     .groups = cli_database_options,
     .examples = "frt user password anna@example.org\n  Forgotten, or known to too many.\n",
     .see_also = "frt user add",
     .run = cli_user_password},
    {.name = "user role",
     .arguments = "EMAIL ROLE",
     .min_arguments = 2,
     .max_arguments = 2,
     .summary = "give a user another role",
     .description = "Sets the role: reader, writer or admin. Tokens given out before end at once.",
     .groups = cli_database_options,
     .examples = "frt user role anna@example.org writer\n  She may enroll now.\n",
     .see_also = "frt user add, frt user list",
     .run = cli_user_role},
    {.name = "key create",
     .arguments = "NAME",
     .min_arguments = 1,
     .max_arguments = 1,
     .summary = "make a key for a program",
     .description =
         "Makes a key for the header X-API-Key and prints it, this once: the database keeps only its hash. "
         "NAME is for people, to know it by. The key stands alone on standard output.",
     .groups = cli_key_options,
     .examples = "frt key create door-camera --role reader --days 90\n  For three months.\n"
                 "curl -H \"X-API-Key: $KEY\" http://127.0.0.1:8080/v1/collections\n  How it is used.\n",
     .see_also = "frt key list, frt user add, docs/api.md",
     .run = cli_key_create},
    {.name = "key list",
     .arguments = "",
     .summary = "list the keys",
     .description = "Lists the ids, names and roles of the keys, not the keys: nobody knows those.",
     .groups = cli_database_options,
     .examples = "frt key list\n  Which programs?\n",
     .see_also = "frt key delete",
     .run = cli_key_list},
    {.name = "key delete",
     .arguments = "ID",
     .min_arguments = 1,
     .max_arguments = 1,
     .summary = "delete a key",
     .description = "Deletes a key by its id, the k_… of 'frt key list'; it is refused from then on.",
     .groups = cli_database_options,
     .examples = "frt key delete k_1f0c5ad2b3e4\n  It has leaked.\n",
     .see_also = "frt key list",
     .run = cli_key_delete},
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
     .groups = cli_json_options,
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

const char *const cli_exit_codes[] = {
    "0\tsuccess",
    "1\ta file cannot be read or written; what is to be made stands already; no memory",
    "2\tunknown command or option, missing or wrong argument or setting",
    "3\tan input is missing, damaged, no image or too large; no such collection, subject or face",
    "4\tno face where one is needed",
    "5\tnot verified: the photos do not show the same person",
    "6\ta model or pack is missing, damaged or unsuitable",
    "7\tthis machine lacks something: runtime, port, memory, disk space, a sound database",
    "8\tunknown: a face that 'frt search' looked at is of nobody in the collection",
    "130\tinterrupted by SIGINT, SIGTERM or SIGHUP",
    "141\tthe reader of the output went away: ended by SIGPIPE",
    NULL};

const char *const cli_environment[] = {
    "FRT_PACK\tthe model pack's folder",
    ("FRT_DATA_DIR\tthe data folder; when not set: ./data when it holds packs, else ~/.local/share/frt or "
     "/var/lib/frt when there, else ./data"),
    "FRT_DATABASE\tthe database of collections, users and keys: a file",
    ("FRT_STORE\tthe same as an address: sqlite:FILE or postgresql://user@host/database; a password is better "
     "in a file"),
    "FRT_INDEX_ENGINE\twhat searches: native, faiss or cuda",
    "FRT_RUNTIME\tthe ONNX Runtime library to load",
    "FRT_MODELS_MIRROR\twhere 'frt models pull' finds the catalogue's files instead: a folder or a URL",
    ("https_proxy, http_proxy, all_proxy, no_proxy\tthe proxy that 'frt models pull' goes through, and where "
     "it "
     "goes without"),
    "FRT_CONFIG\tthe settings file of serve and doctor; their settings are variables, too: FRT_LISTEN, …",
    "FRT_SIMD\tlimit the instruction sets used: scalar, sse2, avx2, avx512, avx512vnni, neon, neondot",
    "NO_COLOR\twhen set and not empty, text has no colours",
    NULL};

const char *const cli_files[] = {
    "data/frt.db\tthe database, below the data folder; data/frt.db.index holds indexes, which are made anew",
    "data/packs/default/manifest.json\tthe default pack, below the data folder",
    "/usr/local/share/frt/packs/default\twhere a pack is looked for when the data folder has none", NULL};

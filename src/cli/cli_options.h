/*
 * The options of each command, in groups that commands share, so that an option means the same everywhere.
 * cli_table.c names them. Threading: constant.
 */
#ifndef FRT_CLI_CLI_OPTIONS_H
#define FRT_CLI_CLI_OPTIONS_H

#include "cli/cli_table.h"

extern const struct cli_option *const cli_detect_options[];
extern const struct cli_option *const cli_embed_options[];
extern const struct cli_option *const cli_verify_options[];
extern const struct cli_option *const cli_import_options[];
extern const struct cli_option *const cli_pull_options[];
extern const struct cli_option *const cli_pack_options[];
extern const struct cli_option *const cli_list_options[];
extern const struct cli_option *const cli_compile_options[];
extern const struct cli_option *const cli_eval_options[];
extern const struct cli_option *const cli_eval_identify_options[];
extern const struct cli_option *const cli_eval_detect_options[];
extern const struct cli_option *const cli_eval_liveness_options[];
extern const struct cli_option *const cli_eval_quality_options[];
extern const struct cli_option *const cli_calibrate_options[];
extern const struct cli_option *const cli_serve_options[];
extern const struct cli_option *const cli_doctor_options[];
extern const struct cli_option *const cli_ping_options[];
extern const struct cli_option *const cli_json_options[];
extern const struct cli_option *const cli_enroll_options[];
extern const struct cli_option *const cli_search_options[];
extern const struct cli_option *const cli_trace_options[];
extern const struct cli_option *const cli_setting_options[];
extern const struct cli_option *const cli_database_options[];
extern const struct cli_option *const cli_face_list_options[];
extern const struct cli_option *const cli_migrate_store_options[];
extern const struct cli_option *const cli_rebuild_options[];
extern const struct cli_option *const cli_migrate_options[];
extern const struct cli_option *const cli_import_ndjson_options[];
extern const struct cli_option *const cli_export_ndjson_options[];
extern const struct cli_option *const cli_import_faiss_options[];
extern const struct cli_option *const cli_export_faiss_options[];
extern const struct cli_option *const cli_role_options[];
extern const struct cli_option *const cli_key_options[];

#endif

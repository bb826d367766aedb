/* The commands: one function each, in a file of its own (cmd_<name>.c). Each returns an exit code. */
#ifndef FRT_CLI_COMMANDS_H
#define FRT_CLI_COMMANDS_H

struct cli_run;

int cli_detect(struct cli_run *run);
int cli_embed(struct cli_run *run);
int cli_verify(struct cli_run *run);
int cli_enroll(struct cli_run *run);
int cli_search(struct cli_run *run);
int cli_trace(struct cli_run *run);
int cli_collections_list(struct cli_run *run);
int cli_collections_create(struct cli_run *run);
int cli_collections_show(struct cli_run *run);
int cli_collections_set(struct cli_run *run);
int cli_collections_delete(struct cli_run *run);
int cli_faces_list(struct cli_run *run);
int cli_faces_delete(struct cli_run *run);
int cli_subjects_list(struct cli_run *run);
int cli_subjects_rename(struct cli_run *run);
int cli_subjects_delete(struct cli_run *run);
int cli_rebuild(struct cli_run *run);
int cli_migrate_store(struct cli_run *run);
int cli_migrate(struct cli_run *run);
int cli_import_ndjson(struct cli_run *run);
int cli_import_faiss(struct cli_run *run);
int cli_export_faiss(struct cli_run *run);
int cli_export_ndjson(struct cli_run *run);
int cli_user_add(struct cli_run *run);
int cli_user_list(struct cli_run *run);
int cli_user_password(struct cli_run *run);
int cli_user_role(struct cli_run *run);
int cli_user_delete(struct cli_run *run);
int cli_key_create(struct cli_run *run);
int cli_key_list(struct cli_run *run);
int cli_key_delete(struct cli_run *run);
int cli_models_list(struct cli_run *run);
int cli_models_import(struct cli_run *run);
int cli_models_import_onnx(struct cli_run *run); /* of `models import` with files */
int cli_models_pull(struct cli_run *run);
int cli_models_verify(struct cli_run *run);
int cli_models_compile(struct cli_run *run);
int cli_eval_pairs(struct cli_run *run);
int cli_eval_identify(struct cli_run *run);
int cli_eval_detect(struct cli_run *run);
int cli_eval_liveness(struct cli_run *run);
int cli_eval_quality(struct cli_run *run);
int cli_calibrate(struct cli_run *run);
int cli_serve(struct cli_run *run);
int cli_doctor(struct cli_run *run);
int cli_ping(struct cli_run *run);
int cli_completion_bash(struct cli_run *run);
int cli_man(struct cli_run *run);
int cli_version(struct cli_run *run);
int cli_help(struct cli_run *run);

#endif

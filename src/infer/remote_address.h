/*
 * Where models are computed, as a setting says it:
 *
 *     local
 *     kserve:http://gpu-box:8000           Open Inference protocol (KServe v2)
 *     kserve:https://host:8443/some/prefix
 *     tfserving:http://host:8501           TensorFlow Serving's REST predict
 *
 * and how a pack's model is called there: a list "NAME=REMOTE[/VERSION]", separated by commas, of which the
 * first entry that fits counts. NAME "*" fits every model; "*" in REMOTE stands for its name; REMOTE "local"
 * leaves it here. A model that no entry fits has the same name there, and the version that the server prefers.
 *
 * Threading: pure.
 */
#ifndef FRT_INFER_REMOTE_ADDRESS_H
#define FRT_INFER_REMOTE_ADDRESS_H

#include "core/buf.h"

enum frt_remote_kind { FRT_REMOTE_NONE = 0 /* local */, FRT_REMOTE_KSERVE, FRT_REMOTE_TFSERVING };

enum { FRT_REMOTE_URL_MAX = 512, FRT_REMOTE_NAME_MAX = 128, FRT_REMOTE_VERSION_MAX = 64 };

struct frt_remote_address {
    enum frt_remote_kind kind;
    char url[FRT_REMOTE_URL_MAX]; /* scheme, host, port and prefix, without a slash at the end */
};

/** "" and NULL are local. Errors: FRT_EINVAL (what was found, what is right). */
FRT_NODISCARD enum frt_status frt_remote_address_parse(const char *text, struct frt_remote_address *out,
                                                       struct frt_error *err);

struct frt_remote_name {
    bool local; /* is to be left here */
    char name[FRT_REMOTE_NAME_MAX];
    char version[FRT_REMOTE_VERSION_MAX]; /* "" = the server's choice */
};

/** How `model` is called there. map: NULL = "". Errors: FRT_EINVAL (a list that cannot be read). */
FRT_NODISCARD enum frt_status frt_remote_name_of(const char *map, const char *model,
                                                 struct frt_remote_name *out, struct frt_error *err);

/** Append "ROOT/NAME", and "/versions/VERSION" when one is named; %XX for what is not A-Z a-z 0-9 - . _ ~ */
void frt_remote_append_path(struct frt_buf *out, const char *root, const struct frt_remote_name *name);

#endif

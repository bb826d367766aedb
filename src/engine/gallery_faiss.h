/*
 * Galleries of the older service: folders of `<collection>.index` (a FAISS index file) with `<collection>.json`
 * beside it (list of {"id", "collection_name", "at_threshold"}, in the order of the vectors). Every byte:
 * docs/formats/faiss-files.md.
 *
 * A face of theirs becomes a subject with one face, both named by its id; its adaptive threshold, a distance d,
 * becomes the face's own threshold, the cosine 1 - 2d. FAISS itself is not needed.
 *
 * Threading: as struct frt_gallery.
 */
#ifndef FRT_ENGINE_GALLERY_FAISS_H
#define FRT_ENGINE_GALLERY_FAISS_H

#include "frt/gallery.h"

struct frt_faiss_import_options {
    const char *model;      /* "name version" of the embedder that made the vectors; required */
    const char *collection; /* only this one; NULL = all of the folder */
    /* Told now and then; false ends the import (FRT_ECANCELLED): what was told of stays. May be NULL. */
    bool (*progress)(void *arg, const char *collection, uint64_t done, uint64_t total);
    void *arg;
};

struct frt_faiss_import_rejection {
    char collection[129];
    uint64_t position; /* of the face in its list, from 0 */
    enum frt_status status;
    char text[200];
};

struct frt_faiss_import_report {
    uint64_t collections; /* whose files were read */
    uint64_t faces, imported;
    uint64_t already; /* their id stands in the collection: from an import before, perhaps */
    uint64_t n_rejected;
    struct frt_faiss_import_rejection *rejected; /* the first 1,000; owned */
    size_t n_listed;
};
void frt_faiss_import_report_deinit(struct frt_faiss_import_report *report);

/**
 * Import a folder, collection by collection; those that are not there are made. Faces are committed in batches;
 * an import that was interrupted can be run again.
 *
 * report  out, also after an error in the middle: deinit it.
 * Errors: FRT_ENOTFOUND (folder; no such collection in it; a list without index file), FRT_EBAD_REQUEST (a file
 * is damaged or of a kind that is not read), FRT_EMODEL_MISMATCH, FRT_ECANCELLED, those of the store.
 */
FRT_NODISCARD enum frt_status frt_gallery_import_faiss(struct frt_gallery *gallery, const char *folder,
                                                       const struct frt_faiss_import_options *options,
                                                       struct frt_faiss_import_report *report,
                                                       struct frt_error *err);

/**
 * Write a collection as `<collection>.index` and `<collection>.json` into a folder that is there; files of
 * these names are replaced. A face without a threshold of its own gets the older service's 0.3. A subject's
 * first face is named by the subject, further ones "subject#face_id": the older service has one face an id.
 *
 * faces   out: how many; may be NULL.
 * Errors: FRT_ECOLLECTION_NOT_FOUND, FRT_EINVAL (no face yet: FAISS files have a dimension), FRT_EIO,
 * FRT_ESTORAGE_FULL.
 */
FRT_NODISCARD enum frt_status frt_gallery_export_faiss(struct frt_gallery *gallery, const char *collection,
                                                       const char *folder, uint64_t *faces,
                                                       struct frt_error *err);

#endif

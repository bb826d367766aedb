/*
 * Labelled face boxes of photos, read from the formats that such sets come in.
 *
 *   dlib's XML (imglab)      <dataset><images><image file='a.jpg'>
 *                              <box top='90' left='194' width='37' height='37' ignore='1'/> … </image> …
 *                            Ignored: ignore='1' and difficult='1'. What else stands there is passed over.
 *   WIDER FACE's text list   0--Parade/a.jpg
 *                            2
 *                            449 330 122 149 0 0 0 0 0 0     left top width height blur expression
 *                            …                               illumination invalid occlusion pose
 *                            Ignored: invalid = 1, and boxes without an area. The four numbers of the box alone
 *                            will do. After a count of 0 there may be one line of zeros.
 *
 * Which one it is tells the first character: '<' begins the XML. The reader of XML is a strict one of what
 * imglab writes: no document types and so no entities of one's own, no CDATA, nesting and attributes bounded.
 * Bytes of a file name are taken as they stand, whatever encoding the head announces, as imglab writes them.
 *
 * Names of photos stay below the folder: no absolute ones, no "..".
 *
 * Threading: pure functions; a frt_labels has one owner.
 */
#ifndef FRT_ENGINE_EVAL_LABELS_H
#define FRT_ENGINE_EVAL_LABELS_H

#include "core/status.h"

enum {
    FRT_LABELS_MAX_BYTES = 256 << 20,
    FRT_LABELS_MAX_PHOTOS = 1000000,
    FRT_LABELS_MAX_BOXES = 8000000,
    FRT_LABELS_MAX_NAME = 1024
};

struct frt_labelled_box {
    struct frt_box box;
    bool ignored; /* neither a face to be found nor a false alarm where something is found */
};

struct frt_labelled_photo {
    char *file;      /* relative to the folder, owned */
    size_t first, n; /* its boxes */
};

struct frt_labels {
    struct frt_labelled_photo *photos; /* owned */
    size_t n_photos, photo_capacity;
    struct frt_labelled_box *boxes; /* owned; each photo's stand together */
    size_t n_boxes, box_capacity;
};

/**
 * Read the text of a label file and add what it says. A photo that is there already is refused: its faces
 * would count twice.
 *
 * labels  {0} or what earlier calls left; unchanged in what it had on failure, with a part of the new.
 * Errors: FRT_EBAD_REQUEST (the line, what stands there, what would be right), FRT_ENOMEM.
 */
FRT_NODISCARD enum frt_status frt_labels_parse(struct frt_labels *labels, const char *text, size_t size,
                                               struct frt_error *err);
/** As frt_labels_parse, of a regular file. Errors: FRT_ENOTFOUND, FRT_EIO, FRT_EBAD_REQUEST, too; the text
 *  names the file. */
FRT_NODISCARD enum frt_status frt_labels_read(struct frt_labels *labels, const char *path,
                                              struct frt_error *err);
void frt_labels_deinit(struct frt_labels *labels);

/* ------------------------------------------------- for the readers of the formats */

/** Errors: FRT_EBAD_REQUEST (a name outside the folder, too many), FRT_ENOMEM. */
FRT_NODISCARD enum frt_status frt_labels_add_photo(struct frt_labels *labels, const char *file, size_t line,
                                                   struct frt_error *err);
/** A box of the photo that was added last. Errors: FRT_EBAD_REQUEST (not finite, out of all bounds, too many),
 *  FRT_ENOMEM. */
FRT_NODISCARD enum frt_status frt_labels_add_box(struct frt_labels *labels, const double box[4], bool ignored,
                                                 size_t line, struct frt_error *err);
/** eval_labels_xml.c. */
FRT_NODISCARD enum frt_status frt_labels_parse_xml(struct frt_labels *labels, const char *text, size_t size,
                                                   struct frt_error *err);

#endif

/*
 * The nets of the default pack: each function appends one net to an empty graph, from the weights of
 * the npm package @vladmandic/face-api. The topologies are code there (src/<net>/ *.ts); what each input
 * and output means is written in docs/design/default-pack.md.
 *
 * Inputs are normalised RGB, NCHW, named "image". Failures stick to the graph. Threading: one owner.
 */
#ifndef FRT_MODEL_IMPORT_NETS_H
#define FRT_MODEL_IMPORT_NETS_H

#include "model/import_layers.h"

/** [N,3,512,512] → "boxes" [N,5118,4] (ymin, xmin, ymax, xmax of the square, 0..1), "scores" [N,5118]. */
void frt_import_ssd(struct frt_import_net *net);
/** [N,3,H,W], sides multiples of 32 → "grid" [N,25,H/32,W/32]: 5 anchors × (x, y, w, h, score), undecoded. */
void frt_import_tiny_yolo(struct frt_import_net *net);
/** [N,3,112,112] → "points" [N,136]: x, y of 68 points, 0..1 of the square crop. */
void frt_import_landmarks(struct frt_import_net *net);
/** [N,3,112,112] → "expression" [N,7], softmax. */
void frt_import_expression(struct frt_import_net *net);
/** [N,3,112,112] → "age" [N,1] years, "gender" [N,2] softmax (male, female). */
void frt_import_age_gender(struct frt_import_net *net);
/** [N,3,150,150] → "embedding" [N,128], raw. */
void frt_import_recognition(struct frt_import_net *net);

#endif

/*
 * The centre of the default embedder's map, as the import writes it into the manifest.
 * Threading: constant.
 */
#ifndef FRT_MODEL_RECOGNITION_CENTRE_H
#define FRT_MODEL_RECOGNITION_CENTRE_H

#define FRT_RECOGNITION_CENTRE_DIM 128

extern const float frt_recognition_centre[FRT_RECOGNITION_CENTRE_DIM];

#endif

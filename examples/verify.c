/*
 * Are these two photos of the same person?
 *
 *     cc verify.c -o verify $(pkg-config --cflags --libs frt)
 *     ./verify PACK one.jpg two.jpg
 *
 * PACK is the folder of a model pack ('frt models import' makes one). Exit code: 0 same person,
 * 5 different people, 1 anything else.
 */
#include <frt/frt.h>
#include <math.h>
#include <stdio.h>

/* Embeddings of the faces in a photo, largest face first. The caller frees *faces. */
static enum frt_status look(const struct frt_context *context, const struct frt_pack *pack, const char *path,
                            struct frt_faces **faces, struct frt_error *err)
{
    struct frt_image *image = NULL;
    enum frt_status status = frt_image_open_file(context, path, &image, err);
    if (status == FRT_OK)
        status = frt_embed(pack, image, NULL, faces, err);
    frt_image_free(image);
    return status;
}

int main(int argc, char **argv)
{
    struct frt_context *context = NULL;
    struct frt_pack *pack = NULL;
    struct frt_faces *faces[2] = {NULL, NULL};
    struct frt_verdict verdict = {0};
    struct frt_error err = {0};
    int code = 1;
    if (argc != 4) {
        fprintf(stderr, "usage: %s PACK PHOTO PHOTO\n", argv[0]);
        return 1;
    }
    if (frt_context_new(NULL, &context, &err) != FRT_OK ||
        frt_pack_open(context, argv[1], NULL, &pack, &err) != FRT_OK ||
        look(context, pack, argv[2], &faces[0], &err) != FRT_OK ||
        look(context, pack, argv[3], &faces[1], &err) != FRT_OK) {
        fprintf(stderr, "%s: %s\n", frt_status_title(err.status), err.text);
    } else if (frt_faces_count(faces[0]) == 0 || frt_faces_count(faces[1]) == 0) {
        fprintf(stderr, "no face in %s\n", argv[frt_faces_count(faces[0]) == 0 ? 2 : 3]);
    } else if (frt_verify(pack, frt_faces_embedding(faces[0], 0), frt_faces_embedding(faces[1], 0), NAN,
                          &verdict, &err) != FRT_OK) {
        fprintf(stderr, "%s: %s\n", frt_status_title(err.status), err.text);
    } else {
        printf("%s: similarity %.3f, threshold %.3f\n", verdict.verified ? "same person" : "different people",
               verdict.similarity, verdict.threshold);
        code = verdict.verified ? 0 : 5;
    }
    frt_faces_free(faces[0]);
    frt_faces_free(faces[1]);
    frt_pack_free(pack);
    frt_context_free(context);
    return code;
}

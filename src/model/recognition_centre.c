/*
 * Where the default embedder puts an average face: the pole of its cap map (infer/model_spec.h), times the
 * radius 0.56. An aggregate; no one's embedding can be had from it.
 *
 * Provenance: the 122 faces that the pack's own detector finds in pictures of the two packages (MIT):
 * @vladmandic/face-api 1.7.15 demo/sample1..6.jpg; @vladmandic/human 3.3.6 assets/samples.jpg,
 * screenshot-facedetect.jpg and screenshot-facematch.jpg. Each face and its mirror image were embedded and
 * divided by the root of their length; averaged by person (57, joined below distance 0.5), then by gender
 * as the pack's own net sees it (14 men, 43 women), men and women counting the same.
 * How the map and the radius were chosen: docs/design/alignment.md.
 */
#include "model/recognition_centre.h"

const float frt_recognition_centre[FRT_RECOGNITION_CENTRE_DIM] = {
    -0.051558F, 0.033390F,  0.022100F,  -0.037007F, -0.046609F, -0.014912F, -0.016001F, -0.045085F, 0.067777F,
    -0.031547F, 0.067080F,  -0.012152F, -0.102649F, -0.019389F, -0.021357F, 0.056684F,  -0.068120F, -0.066634F,
    -0.035209F, -0.031287F, 0.012037F,  0.008602F,  0.008905F,  0.025846F,  -0.060969F, -0.129128F, -0.029545F,
    -0.039483F, -0.004551F, -0.037664F, 0.016213F,  0.029746F,  -0.072776F, -0.015968F, 0.012530F,  0.041163F,
    -0.017888F, -0.034550F, 0.081830F,  -0.001992F, -0.080951F, -0.019426F, 0.026249F,  0.113236F,  0.080936F,
    0.001636F,  0.014091F,  -0.025547F, 0.057875F,  -0.113816F, 0.014352F,  0.067719F,  0.037440F,  0.024395F,
    0.037371F,  -0.060557F, 0.024089F,  0.052808F,  -0.082632F, 0.021208F,  0.028639F,  -0.042141F, -0.022884F,
    -0.029089F, 0.081410F,  0.044318F,  -0.049696F, -0.060463F, 0.076466F,  -0.066229F, -0.021662F, 0.036285F,
    -0.048286F, -0.075928F, -0.110202F, 0.003100F,  0.161583F,  0.062006F,  -0.065838F, 0.012607F,  -0.023264F,
    -0.001738F, 0.010437F,  0.035703F,  -0.031590F, 0.004775F,  -0.037909F, 0.013055F,  0.077369F,  -0.005470F,
    -0.007466F, 0.091880F,  0.007342F,  -0.006381F, 0.015841F,  0.018811F,  -0.045745F, 0.003888F,  -0.049214F,
    0.002254F,  0.021828F,  -0.030921F, 0.008246F,  0.039416F,  -0.066259F, 0.066842F,  -0.012958F, -0.005792F,
    -0.016548F, -0.013718F, -0.034648F, -0.010667F, 0.068862F,  -0.100672F, 0.069561F,  0.069298F,  0.004642F,
    0.059192F,  0.021074F,  0.029131F,  -0.000313F, -0.011405F, -0.058107F, -0.033516F, 0.016077F,  -0.020352F,
    0.013563F,  0.010483F,
};

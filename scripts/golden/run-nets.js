// Run nets of the npm packages in their own JavaScript: the other side of tests/golden.
//
//   node scripts/golden/run-nets.js FACE_API_DIR HUMAN_DIR NET:INPUT:OUTPUT:HEIGHT:WIDTH…
//
// NET     a model's name in the default pack.
// INPUT   file of float32 [3][HEIGHT][WIDTH]: the normalised tensor that the ONNX file is fed with.
// OUTPUT  file to write: the net's outputs as float32, one after the other, in the order and layout of
//         the ONNX file's outputs.
//
// The packages normalise inside their forward calls, so the tensor is turned back into pixels first.
// Development only: FRT itself needs no node.
'use strict';
const fs = require('fs');
const path = require('path');
const vm = require('vm');

const [faceApiDir, humanDir, ...jobs] = process.argv.slice(2);

// The bundle with TensorFlow.js inside is made for browsers; with a window and a document it takes its
// browser paths, of which the CPU backend needs none.
globalThis.window = globalThis;
globalThis.document = { createElement: () => ({ getContext: () => null }) };
const bundle = path.join(faceApiDir, 'dist', 'face-api.js');
vm.runInThisContext(fs.readFileSync(bundle, 'utf8'), { filename: bundle });
const { faceapi } = globalThis;
const { tf } = faceapi;

const DLIB_MEAN = [122.782, 117.001, 104.298];
const grid = (t) => tf.transpose(t, [0, 3, 1, 2]); // NHWC, as the net gives it, to NCHW

const nets = {
  ssd_mobilenetv1: {
    net: faceapi.nets.ssdMobilenetv1, mean: [127.5, 127.5, 127.5], scale: 1 / 127.5,
    outputs: (r) => [r.boxes[0], r.scores[0]],
  },
  tiny_face_detector: {
    net: faceapi.nets.tinyFaceDetector, mean: [117.001, 114.697, 97.404], scale: 1 / 255, outputs: (r) => [grid(r)],
  },
  face_landmark_68: { net: faceapi.nets.faceLandmark68Net, mean: DLIB_MEAN, scale: 1 / 255, outputs: (r) => [r] },
  face_recognition: { net: faceapi.nets.faceRecognitionNet, mean: DLIB_MEAN, scale: 1 / 255, outputs: (r) => [r] },
  age_gender: { net: faceapi.nets.ageGenderNet, mean: DLIB_MEAN, scale: 1 / 255, outputs: (r) => [r.age, r.gender] },
  face_expression: { net: faceapi.nets.faceExpressionNet, mean: DLIB_MEAN, scale: 1 / 255, outputs: (r) => [r] },
  antispoof: { graph: 'antispoof' },
  liveness: { graph: 'liveness' },
};

// A graph model of the other package, loaded by the same TensorFlow.js.
async function loadGraph(name) {
  const model = JSON.parse(fs.readFileSync(path.join(humanDir, 'models', `${name}.json`), 'utf8'));
  const bytes = fs.readFileSync(path.join(humanDir, 'models', `${name}.bin`));
  return tf.loadGraphModel({
    load: async () => ({
      modelTopology: model.modelTopology, format: model.format, signature: model.signature,
      weightSpecs: model.weightsManifest[0].weights,
      weightData: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length),
    }),
  });
}

// [3][height][width] normalised → a tensor [1, height, width, 3] of what the net's forward call expects.
function toTensor(file, height, width, mean, scale) {
  const bytes = fs.readFileSync(file);
  const planes = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  const n = height * width;
  if (planes.length !== 3 * n) throw new Error(`${file}: ${planes.length} floats, expected ${3 * n}`);
  const pixels = new Float32Array(3 * n);
  for (let i = 0; i < n; i++) for (let c = 0; c < 3; c++) pixels[3 * i + c] = planes[c * n + i] / scale + mean[c];
  return tf.tensor4d(pixels, [1, height, width, 3]);
}

async function run(job) {
  const [name, input, output, height, width] = job.split(':');
  const entry = nets[name];
  if (!entry) throw new Error(`no net is named ${name}`);
  let results;
  if (entry.graph) {
    entry.loaded = entry.loaded || await loadGraph(entry.graph);
    results = [entry.loaded.execute(toTensor(input, +height, +width, [0, 0, 0], 1))];
  } else {
    if (!entry.net.isLoaded) await entry.net.loadFromDisk(path.join(faceApiDir, 'model'));
    const tensor = toTensor(input, +height, +width, entry.mean, entry.scale);
    results = entry.outputs(name === 'tiny_face_detector' ? await entry.net.forward(tensor, +height) : await entry.net.forward(tensor));
  }
  fs.writeFileSync(output, Buffer.concat(results.map((t) => Buffer.from(Float32Array.from(t.dataSync()).buffer))));
}

(async () => {
  faceapi.env.setEnv({ ...faceapi.env.createNodejsEnv(), readFile: (file) => fs.promises.readFile(file) });
  await tf.setBackend('cpu');
  await tf.ready();
  for (const job of jobs) await run(job);
})().catch((error) => {
  console.error(`run-nets: ${error.message}`);
  process.exit(1);
});

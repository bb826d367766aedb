#!/usr/bin/python3
"""A competent Python stand-in for the older service, to measure ours against.

    standin.py --port N --detector yunet_n_dynamic.onnx --embedder w600k_mbf_dequant_fp32.onnx [--threads 2]

FastAPI on uvicorn (uvloop, httptools), OpenCV DNN for YuNet and MobileFaceNet, FAISS (exact inner product), an LRU
cache of embeddings with a TTL keyed by a hash of the bytes, inference in as many threads as cores, each with nets of
its own and OpenCV's own threads off: two requests at once then use both cores. It speaks as much of docs/api.md as
bench_load asks: PUT /v1/collections/C, POST /v1/collections/C/faces?subject=S, POST /v1/collections/C/search,
GET /readyz. On loopback only.

What makes it fast: a hit costs the hash of the body, one look-up and one FAISS search on the event loop, without a
change of thread and without pydantic; a miss runs outside the GIL for nearly all of its time (imdecode, both nets,
warpAffine and FAISS release it); equal photos in flight are computed once.

Every package is Debian's; REQUIRED_PACKAGES below is what apt needs. OpenCV 4.6's FaceDetectorYN wants an older YuNet
graph (loc, conf, iou), and its importer no dynamic sizes, so the graph gets the fixed input of SIDE_PX and its twelve
outputs are decoded here, vectorised: the same work that FaceDetectorYN does for its own graph. A larger photo is
shrunk to fit.
"""
import argparse
import asyncio
import collections
import hashlib
import json
import queue
import sys
import time
from concurrent.futures import ThreadPoolExecutor

REQUIRED_PACKAGES = (
    "python3-fastapi python3-uvicorn python3-uvloop python3-httptools python3-opencv python3-faiss python3-onnx"
)

try:
    import cv2
    import faiss
    import httptools  # noqa: F401  (uvicorn uses it)
    import numpy as np
    import onnx
    import uvicorn
    import uvloop  # noqa: F401
    from fastapi import FastAPI, Request
    from starlette.responses import Response
except ImportError as error:
    print(f"{error}; apt-get install {REQUIRED_PACKAGES}", file=sys.stderr)
    sys.exit(77)

SIDE_PX = 256
STRIDES = (8, 16, 32)
CACHE_ENTRIES, CACHE_SECONDS = 500, 30 * 60
MIN_CONFIDENCE, NMS_IOU, THRESHOLD, TOP_K = 0.6, 0.3, 0.24, 5
# Where ArcFace's nets want eyes, nose and corners of the mouth in 112 × 112.
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float64
)


class NoFace(Exception):
    pass


def fixed_size(path, side):
    """The graph's bytes with a fixed input of 1 × 3 × side × side."""
    model = onnx.load(path)
    for dim, value in zip(model.graph.input[0].type.tensor_type.shape.dim, (1, 3, side, side)):
        dim.ClearField("dim_param")
        dim.dim_value = value
    return np.frombuffer(model.SerializeToString(), np.uint8)


def similarity_transform(source):
    """Umeyama's least squares from `source` (5 × 2) to TEMPLATE, closed form for the plane."""
    ms, mt = source.mean(0), TEMPLATE.mean(0)
    s, t = source - ms, TEMPLATE - mt
    norm = (s * s).sum()
    a = (s * t).sum() / norm
    b = (s[:, 0] * t[:, 1] - s[:, 1] * t[:, 0]).sum() / norm
    return np.array(
        [[a, -b, mt[0] - a * ms[0] + b * ms[1]], [b, a, mt[1] - b * ms[0] - a * ms[1]]], np.float64
    )


class Nets:
    """Both nets; one thread at a time."""

    def __init__(self, detector, embedder):
        self.detector = cv2.dnn.readNetFromONNX(fixed_size(detector, SIDE_PX))
        self.embedder = cv2.dnn.readNetFromONNX(embedder)
        self.outputs = [f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in STRIDES]
        cells = []
        for stride in STRIDES:
            y, x = np.mgrid[0 : SIDE_PX // stride, 0 : SIDE_PX // stride]
            cells.append(np.stack([x.ravel(), y.ravel(), np.full(x.size, stride)], 1))
        cells = np.concatenate(cells).astype(np.float32)
        self.cells, self.strides = cells[:, :2], cells[:, 2:]
        self.canvas = np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)

    def detect(self, image):
        """Box, confidence and five landmarks of the largest face, in the photo's pixels."""
        height, width = image.shape[:2]
        scale = min(1.0, SIDE_PX / max(height, width))
        if scale < 1:
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        self.canvas[:] = 0
        h, w = min(image.shape[0], SIDE_PX), min(image.shape[1], SIDE_PX)
        self.canvas[:h, :w] = image[:h, :w]
        self.detector.setInput(cv2.dnn.blobFromImage(self.canvas))
        out = self.detector.forward(self.outputs)
        cls, obj, bbox, kps = (np.concatenate([o[0] for o in out[i : i + 3]]) for i in (0, 3, 6, 9))
        scores = np.sqrt(np.clip(cls[:, 0], 0, 1) * np.clip(obj[:, 0], 0, 1))
        keep = np.flatnonzero(scores >= MIN_CONFIDENCE)
        if keep.size == 0:
            raise NoFace
        cells, strides, bbox, scores = self.cells[keep], self.strides[keep], bbox[keep], scores[keep]
        centre = (cells + bbox[:, :2]) * strides
        size = np.exp(bbox[:, 2:]) * strides
        boxes = np.concatenate([centre - size / 2, size], 1)
        best = np.ravel(cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), MIN_CONFIDENCE, NMS_IOU))
        face = best[np.argmax(boxes[best, 2] * boxes[best, 3])]
        points = (kps[keep][face].reshape(5, 2) + cells[face]) * strides[face]
        return boxes[face] / scale, float(scores[face]), points.astype(np.float64) / scale

    def embed(self, image, points):
        crop = cv2.warpAffine(image, similarity_transform(points), (112, 112), flags=cv2.INTER_LINEAR)
        self.embedder.setInput(cv2.dnn.blobFromImage(crop, 1 / 127.5, (112, 112), (127.5,) * 3, swapRB=True))
        vector = self.embedder.forward().reshape(1, -1)
        return np.ascontiguousarray(vector / np.linalg.norm(vector), np.float32)


class Cache:
    """LRU with a TTL; used by the event loop alone."""

    def __init__(self):
        self.entries = collections.OrderedDict()

    def get(self, key):
        entry = self.entries.get(key)
        if entry is None:
            return None
        if entry[0] < time.monotonic():
            del self.entries[key]
            return None
        self.entries.move_to_end(key)
        return entry[1]

    def put(self, key, value):
        self.entries[key] = (time.monotonic() + CACHE_SECONDS, value)
        self.entries.move_to_end(key)
        if len(self.entries) > CACHE_ENTRIES:
            self.entries.popitem(last=False)


class Service:
    def __init__(self, detector, embedder, threads):
        self.pool = ThreadPoolExecutor(threads)
        self.nets = queue.SimpleQueue()
        for _ in range(threads):
            self.nets.put(Nets(detector, embedder))
        self.cache = Cache()
        self.in_flight = {}
        self.collections = {}

    def compute(self, body):
        image = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            raise ValueError("not an image")
        nets = self.nets.get()
        try:
            box, confidence, points = nets.detect(image)
            return box.tolist(), confidence, nets.embed(image, points)
        finally:
            self.nets.put(nets)

    async def face_of(self, body):
        key = hashlib.blake2b(body, digest_size=32).digest()
        face = self.cache.get(key)
        if face is not None:
            return face
        future = self.in_flight.get(key)
        if future is None:
            future = asyncio.get_running_loop().run_in_executor(self.pool, self.compute, body)
            self.in_flight[key] = future
            try:
                face = await future
            finally:
                del self.in_flight[key]
            self.cache.put(key, face)
            return face
        return await asyncio.shield(future)


def answer(value, status=200):
    return Response(json.dumps(value), status, media_type="application/json")


def make_app(service):
    app = FastAPI(openapi_url=None)

    @app.get("/readyz")
    async def ready():
        return answer({"ready": True})

    @app.put("/v1/collections/{name}")
    async def create(name: str):
        service.collections.setdefault(name, (faiss.IndexFlatIP(512), []))
        return answer({"name": name}, 201)

    async def photo(name, request):
        if name not in service.collections:
            return answer({"code": "collection_not_found"}, 404), None
        try:
            return None, await service.face_of(await request.body())
        except NoFace:
            return answer({"code": "no_face"}, 422), None
        except ValueError:
            return answer({"code": "unsupported_image"}, 415), None

    @app.post("/v1/collections/{name}/faces")
    async def enroll(name: str, subject: str, request: Request):
        error, face = await photo(name, request)
        if error is not None:
            return error
        index, subjects = service.collections[name]
        index.add(face[2])
        subjects.append(subject)
        return answer({"faces": [{"face_id": str(len(subjects) - 1), "subject": subject}]}, 201)

    @app.post("/v1/collections/{name}/search")
    async def search(name: str, request: Request):
        began = time.perf_counter()
        error, face = await photo(name, request)
        if error is not None:
            return error
        index, subjects = service.collections[name]
        box, confidence, vector = face
        scores, ids = index.search(vector, TOP_K)
        matches = [
            {
                "face_id": str(i),
                "subject": subjects[i],
                "similarity": round(s, 4),
                "distance": round((1 - s) / 2, 4),
                "threshold": THRESHOLD,
            }
            for s, i in zip(scores[0].tolist(), ids[0].tolist())
            if i >= 0 and s >= THRESHOLD
        ]
        return answer(
            {
                "faces": [
                    {
                        "box": box,
                        "confidence": confidence,
                        "decision": "match" if matches else "unknown",
                        "matches": matches,
                    }
                ],
                "timing_ms": {"total": (time.perf_counter() - began) * 1e3},
            }
        )

    return app


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--detector", required=True)
    parser.add_argument("--embedder", required=True)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    faiss.omp_set_num_threads(1)
    service = Service(arguments.detector, arguments.embedder, arguments.threads)
    uvicorn.run(
        make_app(service),
        host="127.0.0.1",
        port=arguments.port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()

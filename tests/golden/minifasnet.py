#!/usr/bin/env python3
"""What MiniFASNet says of the sample photos, computed without any of FRT: OpenCV decodes, crops, resizes and
runs the graph. The crop is that of Silent-Face-Anti-Spoofing (src/generate_patches.py, Apache-2.0): box × scale,
shrunk to fit the photo, moved inside, cv2.resize to 80 × 80, BGR 0..255, softmax. Resized by area, as FRT
shrinks; "linear" as a second argument takes cv2's default, which the original has and which aliases.

    tests/golden/minifasnet.py FOLDER_OF_ASSETS

prints the table of tests/vision/test_detector_models.c. Needs Debian's python3-opencv.
"""
import sys

import cv2
import numpy as np

PHOTOS = {  # box: left, top, width, height
    "image_T1.jpg": (119, 109, 177, 248),
    "image_F1.jpg": (188, 110, 190, 246),
    "image_F2.jpg": (147, 211, 214, 311),
}


def crop(image, box, scale, side=80):
    height, width = image.shape[:2]
    x, y, w, h = box
    scale = min((height - 1) / h, (width - 1) / w, scale)
    new_w, new_h = w * scale, h * scale
    cx, cy = w / 2 + x, h / 2 + y
    left, top = cx - new_w / 2, cy - new_h / 2
    right, bottom = cx + new_w / 2, cy + new_h / 2
    if left < 0:
        right -= left
        left = 0
    if top < 0:
        bottom -= top
        top = 0
    if right > width - 1:
        left -= right - width + 1
        right = width - 1
    if bottom > height - 1:
        top -= bottom - height + 1
        bottom = height - 1
    part = image[int(top) : int(bottom) + 1, int(left) : int(right) + 1]
    linear = sys.argv[2:] == ["linear"]
    return cv2.resize(part, (side, side), interpolation=cv2.INTER_LINEAR if linear else cv2.INTER_AREA)


def main():
    assets = sys.argv[1]
    for name, box in PHOTOS.items():
        image = cv2.imread(f"{assets}/faces/liveness/{name}")
        answers = []
        for file, scale in (("fasnet_2_7.onnx", 2.7), ("fasnet_4_0.onnx", 4.0)):
            net = cv2.dnn.readNetFromONNX(f"{assets}/models/liveness/{file}")
            net.setInput(cv2.dnn.blobFromImage(crop(image, box, scale), 1.0))
            out = net.forward()[0].astype(np.float64)
            if abs(out.sum() - 1) > 1e-3 or out.min() < 0:  # logits
                out = np.exp(out - out.max())
                out /= out.sum()
            answers.append(1 - out[1])
        print(f'{{"{name}", {{{", ".join(map(str, box))}}}, {{{answers[0]:.4f}, {answers[1]:.4f}}}}},')


main()

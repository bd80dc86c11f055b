# SPDX-License-Identifier: Apache-2.0
"""Goldens of data/: edges by OpenCV.

`image.<i>` (F32, [H, W]) holds bytes as numbers; `edges.<i>.<low>.<high>` (I64) is 1 on an edge of cv2.Canny.
"""

import cv2
import numpy as np
import torch

from golden_common import generator, save


def canny(out):
    """canny: smooth random pictures, a disc and a slanted bar."""
    tensors = {}
    yy, xx = np.mgrid[0:32, 0:28]
    pictures = [
        np.where((yy - 15) ** 2 + (xx - 13) ** 2 < 81, 220, 20),
        np.where(np.abs(yy - 0.6 * xx - 6) < 4, 180, 60),
    ]
    for i in range(4):
        noise = torch.randint(0, 256, (32, 28), generator=generator(f"canny.{i}")).numpy().astype(np.uint8)
        pictures.append(cv2.GaussianBlur(noise, (0, 0), 0.8 + 0.3 * i))
    for i, picture in enumerate(pictures):
        picture = np.clip(np.asarray(picture), 0, 255).astype(np.uint8)
        tensors[f"image.{i}"] = torch.from_numpy(picture.astype(np.float32))
        for low, high in ((100, 200), (50, 150), (20, 60)):
            edges = cv2.Canny(picture, low, high) > 0
            tensors[f"edges.{i}.{low}.{high}"] = torch.from_numpy(edges.astype(np.int64))
    save(out, "canny", tensors)

# SPDX-License-Identifier: Apache-2.0
"""Goldens of data/: edges by OpenCV, resizing by Pillow.

`image.<i>` (F32, [H, W]) holds bytes as numbers; `edges.<i>.<low>.<high>` (I64) is 1 on an edge of cv2.Canny.
`image.colour` is [H, W, 3].
"""

import cv2
import numpy as np
import torch
from PIL import Image

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
    colour = torch.randint(0, 256, (24, 20, 3), generator=generator("canny.colour")).numpy().astype(np.uint8)
    colour = cv2.GaussianBlur(colour, (0, 0), 1.2)
    tensors["image.colour"] = torch.from_numpy(colour.astype(np.float32))
    for low, high in ((100, 200), (50, 150), (20, 60)):
        edges = cv2.Canny(colour, low, high) > 0
        tensors[f"edges.colour.{low}.{high}"] = torch.from_numpy(edges.astype(np.int64))
    save(out, "canny", tensors)


def resize(out):
    """resize: `image` [13, 17, 3], bytes as numbers, and `<width>x<height>` of it by Pillow's LANCZOS."""
    image = torch.randint(0, 256, (13, 17, 3), generator=generator("resize"), dtype=torch.uint8)
    tensors = {"image": image.float()}
    for width, height in ((17, 24), (40, 13), (8, 8), (33, 29), (5, 31), (1, 1)):
        resized = Image.fromarray(image.numpy()).resize((width, height), Image.Resampling.LANCZOS)
        tensors[f"{width}x{height}"] = torch.from_numpy(np.array(resized).astype(np.float32))
    save(out, "resize", tensors)

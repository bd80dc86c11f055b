# SPDX-License-Identifier: Apache-2.0
"""Archives of arrays by NumPy."""

import pathlib

import numpy


def arrays(out):
    """arrays.npz, stored, and arrays_deflated.npz with the same arrays."""
    values = {
        "x": numpy.arange(12, dtype=numpy.float32).reshape(3, 4) / 2,
        "half": numpy.array([0.5, -2.0], dtype=numpy.float16),
        "flags": numpy.array([True, False, True]),
        "count": numpy.array(7, dtype=numpy.int64),
        "zeros": numpy.zeros(100, dtype=numpy.float64),
        "empty": numpy.zeros((0, 3), dtype=numpy.uint8),
        "group/name": numpy.array([1, 2], dtype=numpy.int32),
    }
    numpy.savez(pathlib.Path(out) / "arrays.npz", **values)
    numpy.savez_compressed(pathlib.Path(out) / "arrays_deflated.npz", **values)

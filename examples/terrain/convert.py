# SPDX-License-Identifier: Apache-2.0
"""Converts the one-step terrain model of adaptive-terrain-diffusion (PyPI, MIT) for hypersd_terrain.

    python3 -m venv VENV && VENV/bin/pip install onnx onnxruntime safetensors
    VENV/bin/pip install --no-deps adaptive-terrain-diffusion==0.4.2
    VENV/bin/python examples/terrain/convert.py --out terrain.safetensors

The file has the weights under the names of openai's consistency-models, and what onnxruntime computes for one input:
`reference.noisy`, `.sigma`, `.difficulty`, `.denoised`, with which the test compares.
"""

import argparse
import importlib.metadata
import pathlib

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper
from safetensors.numpy import save_file


def weights(graph):
    """Convolutions and matrices have names. Norms became InstanceNormalization, Mul and Add with nameless operands: their
    names follow from the layer that reads them."""
    values = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    out = {name[8:]: value for name, value in values.items() if name.startswith("network.")}
    readers = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)

    def layer_after(tensor):
        """The named layer that reads the tensor first, looking through activations, scales and resampling."""
        for node in readers.get(tensor, []):
            if node.op_type in ("Conv", "Gemm"):
                return node.input[1][8:-7]
        for node in readers.get(tensor, []):
            found = layer_after(node.output[0])
            if found:
                return found
        return None

    for norm in (n for n in graph.node if n.op_type == "InstanceNormalization"):
        assert (values[norm.input[1]] == 1).all() and (values[norm.input[2]] == 0).all()
        (shape,) = readers[norm.output[0]]
        (scale,) = readers[shape.output[0]]
        (offset,) = readers[scale.output[0]]
        assert (shape.op_type, scale.op_type, offset.op_type) == ("Reshape", "Mul", "Add")
        layer = layer_after(offset.output[0])
        head, _, last = layer.rpartition(".")
        name = {"2": f"{head}.0", "3": f"{head}.0", "qkv": f"{head}.norm"}[last]
        for part, operand in (("weight", scale.input[1]), ("bias", offset.input[1])):
            assert f"{name}.{part}" not in out
            out[f"{name}.{part}"] = values[operand].reshape(-1)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--onnx", help="the model's file, if not that of the installed package")
    parser.add_argument("--out", default="terrain.safetensors")
    options = parser.parse_args()
    path = options.onnx
    if path is None:
        files = importlib.metadata.files("adaptive-terrain-diffusion")
        path = str(next(f for f in files if f.suffix == ".onnx").locate())
    out = weights(onnx.load(path).graph)
    noise = np.random.default_rng(7).standard_normal((2, 1, 128, 128), dtype=np.float32)
    inputs = {
        "noisy": noise * np.array([80, 2], np.float32).reshape(2, 1, 1, 1),
        "sigma": np.array([80, 2], np.float32),
        "difficulty": np.array([0.6, 0.1], np.float32),
    }
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    out |= {f"reference.{k}": v for k, v in inputs.items()}
    out["reference.denoised"] = session.run(["denoised"], inputs)[0]
    save_file({k: np.ascontiguousarray(v, dtype=np.float32) for k, v in out.items()}, options.out)
    print(f"{options.out}: {sum(v.size for k, v in out.items() if not k.startswith('reference')):,} weights")


if __name__ == "__main__":
    main()

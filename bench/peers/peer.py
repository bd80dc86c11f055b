# SPDX-License-Identifier: Apache-2.0
"""What the peers' programs share: options, the start of PyTorch on so many threads, and timing."""

import argparse
import os
import time


def at_least(least):
    """The type of a whole number from `least` on."""

    def number(text):
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is below {least}")
        return value

    return number


def parser(description, iters, warmup):
    """A parser with the options that every peer takes: --threads, --iters and --warmup."""
    out = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    out.add_argument("--threads", type=at_least(1), default=2, help="default 2")
    out.add_argument("--iters", type=at_least(1), default=iters, help=f"timed steps, default {iters}")
    out.add_argument("--warmup", type=at_least(0), default=warmup, help=f"steps before timing, default {warmup}")
    return out


def add_elements(out):
    out.add_argument("--elements", type=at_least(4), default=4 << 20, help="floats in the sample, default 4 Mi")


def start(options):
    """PyTorch and diffusers on the CPU, seeded. They read the environment when they are imported, so not before."""
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    import diffusers
    import torch

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    return torch, diffusers


def timed(f):
    """Milliseconds that f() takes."""
    begin = time.perf_counter()
    f()
    return 1e3 * (time.perf_counter() - begin)


def timed_with_copy(options, sample, prepare, step):
    """Milliseconds of each step() after a prepare() that does not count, and of a copy of the sample after each.

    Step and copy take turns in one process, so that both see the same machine.
    """
    destination = sample.new_empty(sample.shape)
    steps, copies = [], []
    for i in range(options.warmup + options.iters):
        prepare()
        step_ms, copy_ms = timed(step), timed(lambda: destination.copy_(sample))
        if i >= options.warmup:
            steps.append(step_ms)
            copies.append(copy_ms)
    return steps, copies


def conditions(options, torch, diffusers):
    """The fields of a result that say how it was measured."""
    return {
        "threads": options.threads,
        "iters": options.iters,
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
    }

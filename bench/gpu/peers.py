#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The figures of bench/gpu/bench_gpu_*.cu with PyTorch, under the same names; one JSON line each. float32 is without
TF32, unless the name says so. With --compiled, those that torch.compile can help, as {"name", "ms", "peer"}: compiling
takes a minute or two. What fails is reported as {"name", "error"}, and the rest goes on."""

import argparse
import json
import statistics
import time

import torch
import torch.nn.functional as F

torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False
torch.backends.cudnn.benchmark = True
device = torch.device("cuda")


def milliseconds(f, iterations=50, warmup=10):
    times = []
    for i in range(warmup + iterations):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        f()
        end.record()
        end.synchronize()
        if i >= warmup:
            times.append(begin.elapsed_time(end))
    return statistics.median(times)


def say(name, time_of, peer="PyTorch"):
    line = {"name": name, "peer": peer}
    try:
        line["ms"] = time_of()
    except Exception as e:  # noqa: BLE001: one peer must not stop the others
        line["error"] = str(e)[:200]
    print(json.dumps(line), flush=True)
    torch.cuda.empty_cache()


def report(name, make, **how):
    say(name, lambda: milliseconds(make(), **how))


def step(dtype, noise):
    def make():
        x = torch.full((64 << 20,), 0.5, dtype=dtype, device=device)
        e = torch.full_like(x, 0.25)
        if not noise:
            return lambda: x * 0.9 + e * 0.3
        return lambda: x * 0.9 + e * 0.3 + torch.randn_like(x) * 0.1

    return make


def gemm(m, n, k, kind, bias):
    dtype = torch.bfloat16 if kind == "bfloat16" else torch.float32

    def make():
        a, w = (torch.full(size, 0.125, dtype=dtype, device=device) for size in ((m, k), (n, k)))
        if bias:
            b = torch.full((n,), 0.5, dtype=dtype, device=device)
            return lambda: F.linear(a, w, b)
        out = torch.empty(m, n, dtype=dtype, device=device)
        return lambda: torch.mm(a, w.t(), out=out)

    return make


def gemms():
    for m, n, k in ((4096, 4096, 4096), (8192, 320, 320), (8192, 2560, 320), (8192, 320, 1280), (2048, 640, 640),
                    (512, 1280, 1280), (154, 320, 768)):
        for kind in ("float32", "tf32", "bfloat16"):
            torch.backends.cuda.matmul.allow_tf32 = kind == "tf32"
            report(f"gemm_{kind}_{m}x{n}x{k}", gemm(m, n, k, kind, False))
            torch.backends.cuda.matmul.allow_tf32 = False
        report(f"gemm_bias_bfloat16_{m}x{n}x{k}", gemm(m, n, k, "bfloat16", True))


def convolution(side, channels, dtype, what):
    def make():
        last = {"memory_format": torch.channels_last}
        x = torch.full((2, channels, side, side), 0.125, dtype=dtype, device=device).to(**last)
        w = torch.full((channels, channels, 3, 3), 0.125, dtype=dtype, device=device).to(**last)
        bias = torch.full((channels,), 0.5, dtype=dtype, device=device)
        if what == "":
            return lambda: F.conv2d(x, w, bias, padding=1)
        mask = [what == "input_gradient_", what == "weight_gradient_", False]
        ones, none = [1, 1], [0, 0]
        return lambda: torch.ops.aten.convolution_backward(x, x, w, None, ones, ones, ones, False, none, 1, mask)

    return make


def group_norm(side, channels, backward):
    def make():
        x = torch.full((16, channels, side, side), 0.5, device=device).to(memory_format=torch.channels_last)
        gamma, beta = torch.ones(channels, device=device), torch.zeros(channels, device=device)
        if not backward:
            return lambda: F.silu(F.group_norm(x, 32, gamma, beta))
        x.requires_grad_(), gamma.requires_grad_(), beta.requires_grad_()
        y = F.silu(F.group_norm(x, 32, gamma, beta))
        return lambda: torch.autograd.grad(y, (x, gamma, beta), x.detach(), retain_graph=True)

    return make


def adamw():
    sizes = [1 << 20 if i % 2 == 0 else 320 for i in range(64)]
    parameters = [torch.nn.Parameter(torch.full((n,), 0.5, device=device)) for n in sizes]
    averages = [p.detach().clone() for p in parameters]
    for p in parameters:
        p.grad = torch.full_like(p, 0.01)
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, fused=True)

    def f():
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(averages, [p.detach() for p in parameters], 0.001)

    return f


def attention(n, m, dim, backward, dtype=torch.float32):
    def make():
        q, k, v = (torch.full((2, 8, rows, dim), 0.1, device=device, dtype=dtype, requires_grad=backward)
                   for rows in (n, m, m))
        if not backward:
            return lambda: F.scaled_dot_product_attention(q, k, v)
        y = F.scaled_dot_product_attention(q, k, v)
        return lambda: torch.autograd.grad(y, (q, k, v), y.detach(), retain_graph=True)

    return make


def train_step(compiled):
    import diffusers

    net = diffusers.UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, block_out_channels=(32, 64, 64), layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=64,
        attention_head_dim=8, norm_num_groups=8).to(device)
    predict = torch.compile(net) if compiled else net
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, fused=True)
    x, target = torch.randn(128, 4, 8, 8, device=device), torch.randn(128, 4, 8, 8, device=device)
    t, tokens = torch.rand(128, device=device) * 999, torch.randn(128, 1, 64, device=device)
    times = []
    for i in range(40):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        F.mse_loss(predict(x, t, tokens).sample, target).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0, foreach=True)
        optimizer.step()
        torch.cuda.synchronize()
        if i >= 10:
            times.append(1000 * (time.perf_counter() - begin))
    return statistics.median(times)


def unet(dtype, batch, compiled):
    """Stable Diffusion 1.5's sizes, channels last; diffusers' attention is scaled_dot_product_attention."""
    import diffusers

    with torch.device(device):
        net = diffusers.UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8)
    net = net.to(dtype=dtype, memory_format=torch.channels_last).eval()
    predict = torch.compile(net) if compiled else net
    x = torch.randn(batch, 4, 64, 64, device=device).to(dtype=dtype, memory_format=torch.channels_last)
    t, tokens = torch.full((batch,), 499.0, device=device), torch.randn(batch, 77, 768, device=device).to(dtype)
    with torch.no_grad():
        return milliseconds(lambda: predict(x, t, tokens).sample, iterations=20, warmup=5)


def eager():
    for dtype in ("float32", "bfloat16"):
        report(f"step_{dtype}", step(getattr(torch, dtype), True))
        report(f"step_{dtype}_deterministic", step(getattr(torch, dtype), False))
    gemms()
    for side, channels in ((64, 320), (32, 640), (16, 1280), (8, 1280)):
        for kind in ("bfloat16", "float32"):
            for what in ("", "input_gradient_", "weight_gradient_"):
                name = f"conv3x3_{what}{kind}_{side}x{channels}"
                report(name, convolution(side, channels, getattr(torch, kind), what))
    for side, channels in ((64, 320), (16, 1280)):
        report(f"group_norm_silu_{side}x{channels}", group_norm(side, channels, False))
        report(f"group_norm_silu_{side}x{channels}_gradient", group_norm(side, channels, True))
    report("adamw_ema", adamw)
    for n, m, dim in ((4096, 4096, 40), (4096, 77, 40), (256, 256, 160)):
        sizes = f"{n}x{m}x{dim}"
        report(f"attention_{sizes}", attention(n, m, dim, False), iterations=20, warmup=3)
        report(f"attention_{sizes}_gradient", attention(n, m, dim, True), iterations=20, warmup=3)
        report(f"attention_bfloat16_{sizes}", attention(n, m, dim, False, torch.bfloat16), iterations=20, warmup=3)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compiled", action="store_true")
    compiled = parser.parse_args().compiled
    peer = "torch.compile" if compiled else "PyTorch"
    if not compiled:
        eager()
    say("train_step", lambda: train_step(compiled), peer)
    for kind, batch in (("bfloat16", 1), ("bfloat16", 8), ("float32", 1), ("float32", 8)):
        if not compiled or kind == "bfloat16":
            say(f"unet_{kind}_{batch}", lambda: unet(getattr(torch, kind), batch, compiled), peer)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The figures of bench/gpu/bench_gpu_*.cu with PyTorch, under the same names; one JSON line each. float32 throughout,
without TF32. What fails is reported as {"name", "error"}, and the rest goes on."""

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


def report(name, make, **how):
    try:
        print(json.dumps({"name": name, "ms": milliseconds(make(), **how)}), flush=True)
    except Exception as e:  # noqa: BLE001: one peer must not stop the others
        print(json.dumps({"name": name, "error": str(e)[:200]}), flush=True)
    torch.cuda.empty_cache()


def step(dtype, noise):
    def make():
        x = torch.full((64 << 20,), 0.5, dtype=dtype, device=device)
        e = torch.full_like(x, 0.25)
        if not noise:
            return lambda: x * 0.9 + e * 0.3
        return lambda: x * 0.9 + e * 0.3 + torch.randn_like(x) * 0.1

    return make


def gemm(m, n, k):
    def make():
        a, b = torch.full((m, k), 0.125, device=device), torch.full((k, n), 0.125, device=device)
        out = torch.empty(m, n, device=device)
        return lambda: torch.mm(a, b, out=out)

    return make


def convolution(side, channels, what):
    def make():
        last = {"memory_format": torch.channels_last}
        x = torch.full((2, channels, side, side), 0.125, device=device).to(**last)
        w = torch.full((channels, channels, 3, 3), 0.125, device=device).to(**last)
        if what == "forward":
            return lambda: F.conv2d(x, w, padding=1)
        mask = [what == "input", what == "weight", False]
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


def attention(n, m, dim, backward):
    def make():
        q = torch.full((2, 8, n, dim), 0.1, device=device, requires_grad=backward)
        k = torch.full((2, 8, m, dim), 0.1, device=device, requires_grad=backward)
        v = torch.full((2, 8, m, dim), 0.1, device=device, requires_grad=backward)
        if not backward:
            return lambda: F.scaled_dot_product_attention(q, k, v)
        y = F.scaled_dot_product_attention(q, k, v)
        return lambda: torch.autograd.grad(y, (q, k, v), y.detach(), retain_graph=True)

    return make


def train_step():
    import diffusers

    net = diffusers.UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, block_out_channels=(32, 64, 64), layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=64,
        attention_head_dim=8, norm_num_groups=8).to(device)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, fused=True)
    x, target = torch.randn(128, 4, 8, 8, device=device), torch.randn(128, 4, 8, 8, device=device)
    t, tokens = torch.rand(128, device=device) * 999, torch.randn(128, 1, 64, device=device)
    times = []
    for i in range(40):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        F.mse_loss(net(x, t, tokens).sample, target).backward()
        optimizer.step()
        torch.cuda.synchronize()
        if i >= 10:
            times.append(1000 * (time.perf_counter() - begin))
    return statistics.median(times)


def main():
    for dtype in ("float32", "bfloat16"):
        report(f"step_{dtype}", step(getattr(torch, dtype), True))
        report(f"step_{dtype}_deterministic", step(getattr(torch, dtype), False))
    for m, n, k in ((4096, 4096, 4096), (8192, 320, 2880), (512, 512, 512)):
        report(f"gemm_{m}x{n}x{k}", gemm(m, n, k))
    for side, channels in ((64, 320), (32, 640), (16, 1280), (8, 1280)):
        name = f"conv3x3_{side}x{channels}"
        report(name, convolution(side, channels, "forward"))
        report(f"{name}_input_gradient", convolution(side, channels, "input"))
        report(f"{name}_weight_gradient", convolution(side, channels, "weight"))
    for side, channels in ((64, 320), (16, 1280)):
        report(f"group_norm_silu_{side}x{channels}", group_norm(side, channels, False))
        report(f"group_norm_silu_{side}x{channels}_gradient", group_norm(side, channels, True))
    report("adamw_ema", adamw)
    for n, m, dim in ((4096, 4096, 40), (4096, 77, 40), (256, 256, 160)):
        report(f"attention_{n}x{m}x{dim}", attention(n, m, dim, False), iterations=20, warmup=3)
        report(f"attention_{n}x{m}x{dim}_gradient", attention(n, m, dim, True), iterations=20, warmup=3)
    try:
        print(json.dumps({"name": "train_step", "ms": train_step()}), flush=True)
    except Exception as e:  # noqa: BLE001
        print(json.dumps({"name": "train_step", "error": str(e)[:200]}), flush=True)


if __name__ == "__main__":
    main()

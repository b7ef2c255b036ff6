# SPDX-License-Identifier: Apache-2.0
"""Latency of `hetero bench` and of ONNX Runtime on the same models, taken in turns.

Each engine gets several short slices per model, alternating, so that a neighbour's
load hits both. Per engine the figure is the median over slices of the slice's own
median; the ratio is the median of the ratios of neighbouring slices. Beside wall
time stands processor time per run, which a busy machine disturbs less.
"""
import argparse
import datetime
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnxruntime as ort

# Models whose dimensions are open: what is measured.
SHAPES = {
    "silero_vad": {"input": [1, 576], "state": [2, 1, 128], "sr": []},
    "ppocrv4_det": {"x": [1, 3, 320, 320]},
    "ppocrv4_rec": {"x": [1, 3, 48, 320]},
    "magika_standard_v3_3": {"bytes": [1, 2048]},
}
FILLS = {"sr": 16000}
TYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(int32)": np.int32}


class Peer:
    def __init__(self, path, threads, shapes):
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        rng = np.random.default_rng(0)
        self.feed = {}
        for i in self.session.get_inputs():
            shape = shapes.get(i.name)
            if shape is None:
                shape = [d if isinstance(d, int) and d > 0 else 1 for d in i.shape]
            dtype = TYPES[i.type]
            if i.name in FILLS:
                value = np.full(shape, FILLS[i.name], dtype)
            elif dtype == np.float32:
                value = rng.uniform(-1, 1, shape).astype(dtype)
            else:
                value = rng.integers(0, 8, shape).astype(dtype)
            self.feed[i.name] = value
        for _ in range(3):
            self.session.run(None, self.feed)

    def slice(self, seconds):
        samples = []
        cpu = time.process_time()
        end = time.perf_counter() + seconds
        while not samples or time.perf_counter() < end:
            start = time.perf_counter()
            self.session.run(None, self.feed)
            samples.append(time.perf_counter() - start)
        return statistics.median(samples) * 1e3, (time.process_time() - cpu) / len(samples) * 1e3


def ours(build, path, threads, feed, seconds, scratch):
    command = [os.path.join(build, "hetero"), "bench", "-q", "--json", "-m", path, "-t",
               str(seconds), "--threads", str(threads)]
    for name, value in feed.items():
        file = os.path.join(scratch, name.replace("/", "_").replace(":", "_") + ".npy")
        np.save(file, value)
        command += ["-i", file]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(result.stderr.strip())
    report = json.loads(result.stdout)
    return report["latency_ms"]["median"], report["cpu_seconds"] / report["runs"] * 1e3


def cpu_name():
    with open("/proc/cpuinfo") as info:
        for line in info:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def measure(args, name, path, threads, scratch):
    peer = Peer(path, threads, SHAPES.get(name, {}))
    wall, cpu, mine, theirs = [], [], [], []
    for _ in range(args.slices):
        t_wall, t_cpu = peer.slice(args.seconds)
        o_wall, o_cpu = ours(args.build, path, threads, peer.feed, args.seconds, scratch)
        wall.append(o_wall / t_wall)
        cpu.append(o_cpu / t_cpu)
        mine.append(o_wall)
        theirs.append(t_wall)
    return [statistics.median(x) for x in (mine, theirs, wall, cpu)]


def find_models(args, scratch):
    real = os.path.join(args.models, "real")
    for name in sorted(os.listdir(real)):
        path = os.path.join(real, name, "model.onnx")
        if os.path.exists(path):
            yield name, path
    light = os.path.join(args.models, "light")
    for file in sorted(os.listdir(light)):
        if not file.startswith("light_") or not file.endswith(".onnx"):
            continue
        name = "rnd_" + file[len("light_"):-len(".onnx")]
        path = os.path.join(scratch, name + ".onnx")
        maker = os.path.join(args.build, "tests/support/make_rnd")
        subprocess.run([maker, os.path.join(light, file), path], check=True)
        yield name, path
        os.unlink(path)


def main():
    top = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", default=os.path.join(top, "build"))
    parser.add_argument("--models", default=os.path.join(top, "../shared/models"))
    parser.add_argument("--seconds", type=float, default=1.0, help="per slice")
    parser.add_argument("--slices", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--only", help="names that contain this")
    args = parser.parse_args()
    ort.set_default_logger_severity(4)
    with open("/proc/loadavg") as load:
        print(f"{cpu_name()}, {os.cpu_count()} cores, load {load.read().split()[0]}, "
              f"{datetime.date.today()}, ONNX Runtime {ort.__version__}, batch 1, fp32\n")
    print("| model | threads | ours ms | ONNX Runtime ms | ratio, wall | ratio, processor time |")
    print("| --- | --- | --- | --- | --- | --- |")
    ratios = {threads: [] for threads in args.threads}
    with tempfile.TemporaryDirectory() as scratch:
        for name, path in find_models(args, scratch):
            if args.only and args.only not in name:
                continue
            for threads in args.threads:
                try:
                    mine, theirs, wall, cpu = measure(args, name, path, threads, scratch)
                except RuntimeError as error:
                    print(f"{name}: {error}", file=sys.stderr)
                    continue
                ratios[threads].append((wall, cpu))
                print(f"| {name} | {threads} | {mine:.3f} | {theirs:.3f} | {wall:.2f} | {cpu:.2f} |",
                      flush=True)
    for threads, pairs in ratios.items():
        if pairs:
            means = [math.exp(statistics.fmean(math.log(p[k]) for p in pairs)) for k in (0, 1)]
            worst = [max(p[k] for p in pairs) for k in (0, 1)]
            print(f"| geometric mean | {threads} | | | {means[0]:.2f} | {means[1]:.2f} |")
            print(f"| worst | {threads} | | | {worst[0]:.2f} | {worst[1]:.2f} |")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Tiled Cholesky and LU factorisations with the kernel times and the bus that StarPU measured on
a host (tools/perfmodels/sampling of its repository) -> --graph files. CPU workers share the
host's memory; every GPU has its own.

    starpu_dags.py OUT SAMPLING --host mirage --kind cholesky --tiles 8 [--cpus 4] [--block 1]

--block: which of the measured tile sizes, 0 the smallest. --ccr and --contention as elsewhere.
"""
import argparse
import math
import os

import taskgraph

KERNELS = {
    "cholesky": {"potrf": ("chol_model_potrf", 1), "trsm": ("chol_model_trsm", 2),
                 "syrk": ("chol_model_syrk", 2), "gemm": ("chol_model_gemm", 3)},
    "lu": {"getrf": ("starpu_slu_lu_model_getrf", 1), "trsm_ll": ("starpu_slu_lu_model_trsm_ll", 2),
           "trsm_ru": ("starpu_slu_lu_model_trsm_ru", 2), "gemm": ("starpu_slu_lu_model_gemm", 3)},
}


def rows(path):
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.strip() and not line.startswith("#"):
                yield line.split()


def times(path, operands):
    """{(type, id): {tile bytes: seconds}} of a performance model file."""
    found, devices, key = {}, [], None
    with open(path, encoding="utf-8") as file:
        expect = None
        for line in file:
            words = line.split()
            if line.startswith("#"):
                for mark in ("device type", "device id"):
                    if mark in line:
                        expect = mark
                continue
            if not words:
                continue
            if expect == "device type":
                devices = [int(words[0])]
            elif expect == "device id":
                key = (devices[0], int(words[0]))
            elif len(words) == 8 and key and not words[0].startswith("0.0"):
                tile = int(words[1]) // operands
                found.setdefault(key, {})[tile] = float(words[3]) * 1e-6
            expect = None
    return found


def bus(path):
    return [[float(word) for word in row] for row in rows(path)]


def cholesky(n):
    tasks, last = [], {}

    def add(kernel, name, reads, write):
        tasks.append((kernel, name, sorted({last[r] for r in reads + [write] if r in last})))
        last[write] = name

    for k in range(n):
        add("potrf", f"potrf{k}", [], (k, k))
        for i in range(k + 1, n):
            add("trsm", f"trsm{k}_{i}", [(k, k)], (i, k))
        for i in range(k + 1, n):
            add("syrk", f"syrk{k}_{i}", [(i, k)], (i, i))
            for j in range(k + 1, i):
                add("gemm", f"gemm{k}_{i}_{j}", [(i, k), (j, k)], (i, j))
    return tasks


def lu(n):
    tasks, last = [], {}

    def add(kernel, name, reads, write):
        tasks.append((kernel, name, sorted({last[r] for r in reads + [write] if r in last})))
        last[write] = name

    for k in range(n):
        add("getrf", f"getrf{k}", [], (k, k))
        for i in range(k + 1, n):
            add("trsm_ll", f"ll{k}_{i}", [(k, k)], (k, i))
            add("trsm_ru", f"ru{k}_{i}", [(k, k)], (i, k))
        for i in range(k + 1, n):
            for j in range(k + 1, n):
                add("gemm", f"gemm{k}_{i}_{j}", [(i, k), (k, j)], (i, j))
    return tasks


def convert(arguments):
    kernels = {}
    for kernel, (name, operands) in KERNELS[arguments.kind].items():
        path = os.path.join(arguments.files[0], "codelets", "45", f"{name}.{arguments.host}")
        kernels[kernel] = times(path, operands)
    tiles = set.intersection(*[set(sizes) for model in kernels.values()
                               for sizes in model.values() if sizes])
    tile = sorted(t for t in tiles if t >= 65536)[arguments.block]
    gpus = sorted(key for key in kernels["gemm"] if key[0] == 1)
    workers = [("cpu", f"cpu{k}", (0, 0), 0) for k in range(arguments.cpus)]
    workers += [("gpu", f"gpu{k}", key, 1 + key[1]) for k, key in enumerate(gpus)]
    bandwidth = bus(os.path.join(arguments.files[0], "bus", arguments.host + ".bandwidth"))
    latency = bus(os.path.join(arguments.files[0], "bus", arguments.host + ".latency"))
    links = [{"from": a[1], "to": b[1], "bandwidth": bandwidth[a[3]][b[3]] * 1e6,
              "latency": latency[a[3]][b[3]] * 1e-6}
             for a in workers for b in workers if a[3] != b[3]]
    graph = cholesky(arguments.tiles) if arguments.kind == "cholesky" else lu(arguments.tiles)
    tasks = [{"id": name, "time": {w[1]: kernels[kernel][w[2]][tile] for w in workers
                                   if tile in kernels[kernel].get(w[2], {})}}
             for kernel, name, _ in graph]
    return {
        "name": f"{arguments.kind}{arguments.tiles} on {arguments.host}",
        "devices": [{"id": w[1], "kind": w[0], "power": 15.0 if w[0] == "cpu" else 225.0,
                     "idle_power": 3.0 if w[0] == "cpu" else 30.0} for w in workers],
        "links": [link for link in links if not math.isnan(link["bandwidth"])],
        "tasks": tasks,
        "edges": [{"from": source, "to": name, "bytes": float(tile)}
                  for _, name, sources in graph for source in sources],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    taskgraph.options(parser)
    parser.add_argument("--host", default="mirage")
    parser.add_argument("--kind", choices=sorted(KERNELS), default="cholesky")
    parser.add_argument("--tiles", type=int, default=8)
    parser.add_argument("--cpus", type=int, default=4)
    parser.add_argument("--block", type=int, default=1)
    arguments = parser.parse_args()
    name = f"{arguments.kind}{arguments.tiles}-{arguments.host}-b{arguments.block}"
    taskgraph.write(arguments, name, convert(arguments))


if __name__ == "__main__":
    main()

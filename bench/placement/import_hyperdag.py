#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
hyperDAG text (github.com/Algebraic-Programming/HyperDAG_DB, and the .hdag files of
OneStopParallel) -> --graph files: every node a task of its weight divided by the speed of a
made-up device, every hyperedge edges from its source with its weight in bytes times 1e9.

    import_hyperdag.py OUT FILE... [--devices P] [--ccr C] [--contention]
"""
import argparse
import os

import taskgraph


def lines(path):
    with open(path, encoding="utf-8") as file:
        for line in file:
            line = line.split("%")[0].split()
            if line:
                yield [int(word) for word in line]


def convert(path, device_count):
    rows = lines(path)
    edge_count, node_count, pin_count = next(rows)[:3]
    weight = {}
    for _ in range(edge_count):
        row = next(rows)
        weight[row[0]] = row[1] if len(row) > 1 else 1
    work = {}
    for _ in range(node_count):
        row = next(rows)
        work[row[0]] = row[1] if len(row) > 1 else 1
    source, pairs = {}, {}
    for _ in range(pin_count):
        edge, node = next(rows)[:2]
        if edge not in source:
            source[edge] = node
        elif source[edge] != node:
            key = (source[edge], node)
            pairs[key] = pairs.get(key, 0) + weight[edge]
    speeds, devices, links = taskgraph.machine(device_count)
    return {
        "name": os.path.basename(path),
        "devices": devices,
        "links": links,
        "tasks": [{"id": f"n{k}", "time": {d["id"]: max(work[k], 0.01) / s
                                           for d, s in zip(devices, speeds)}}
                  for k in sorted(work)],
        "edges": [{"from": f"n{a}", "to": f"n{b}", "bytes": 1e9 * w}
                  for (a, b), w in pairs.items()],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    taskgraph.options(parser)
    arguments = parser.parse_args()
    for path in arguments.files:
        name = os.path.splitext(os.path.basename(path))[0]
        taskgraph.write(arguments, name, convert(path, arguments.devices))


if __name__ == "__main__":
    main()

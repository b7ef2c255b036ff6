#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
dag-bench (github.com/ANRGUSC/dag-bench, graph.json: tasks with a cost, devices with a speed,
links with a speed) -> --graph files. A task takes cost / speed, an edge size / speed.

    import_dagbench.py OUT workflows/*/*/graph.json [--ccr C] [--contention]
"""
import argparse
import json
import os

import taskgraph


def convert(data):
    network = data["network"]
    speeds = {node["name"]: node["speed"] for node in network["nodes"]}
    links = []
    for edge in network["edges"]:
        a, b = edge["source"], edge["target"]
        if a != b and edge["speed"] > 0:
            links += [{"from": x, "to": y, "bandwidth": edge["speed"], "latency": 0.0}
                      for x, y in ((a, b), (b, a))]
    return {
        "name": data["name"],
        "devices": [{"id": name, "kind": name, "power": round(20 * speed ** 0.8 + 5, 3),
                     "idle_power": 2.0} for name, speed in sorted(speeds.items())],
        "links": links,
        "tasks": [{"id": task["name"],
                   "time": {name: task["cost"] / speed for name, speed in speeds.items()}}
                  for task in data["task_graph"]["tasks"]],
        "edges": [{"from": e["source"], "to": e["target"], "bytes": e["size"]}
                  for e in data["task_graph"]["dependencies"]],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    taskgraph.options(parser)
    arguments = parser.parse_args()
    for path in arguments.files:
        with open(path, encoding="utf-8") as file:
            graph = convert(json.load(file))
        taskgraph.write(arguments, os.path.basename(os.path.dirname(path)), graph)


if __name__ == "__main__":
    main()

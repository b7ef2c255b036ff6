#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
WfFormat 1.5 (github.com/wfcommons/WfInstances: measured workflow runs) -> --graph files: a
task's time is its measured run time divided by the speed of a made-up device, an edge carries
the files that the parent writes and the child reads.

    import_wfformat.py OUT pegasus/*/*.json [--devices P] [--ccr C] [--contention]
"""
import argparse
import json
import os

import taskgraph


def convert(data, device_count):
    workflow = data["workflow"]
    specification = workflow["specification"]
    sizes = {f["id"]: f["sizeInBytes"] for f in specification.get("files", [])}
    runs = {t["id"]: t.get("runtimeInSeconds", 0.0) for t in workflow["execution"]["tasks"]}
    tasks = {t["id"]: t for t in specification["tasks"]}
    speeds, devices, links = taskgraph.machine(device_count)
    edges = []
    for name, task in tasks.items():
        made = set(task.get("outputFiles", []))
        for child in task.get("children", []):
            shared = made & set(tasks[child].get("inputFiles", []))
            edges.append({"from": name, "to": child,
                          "bytes": float(sum(sizes.get(f, 0) for f in shared))})
    return {
        "name": data["name"],
        "devices": devices,
        "links": links,
        # Some tools round run times to whole seconds: nothing takes no time at all.
        "tasks": [{"id": name, "time": {d["id"]: max(runs.get(name, 0.0), 0.1) / s
                                        for d, s in zip(devices, speeds)}} for name in tasks],
        "edges": edges,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    taskgraph.options(parser)
    arguments = parser.parse_args()
    for path in arguments.files:
        with open(path, encoding="utf-8") as file:
            graph = convert(json.load(file), arguments.devices)
        taskgraph.write(arguments, os.path.splitext(os.path.basename(path))[0], graph)


if __name__ == "__main__":
    main()

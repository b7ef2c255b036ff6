#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Throughput graphs of msr-fiddle/dnn-partitioning (MIT) -> task-graph files.

    import_dnn.py DIR -o OUT

DIR holds throughput-inputs/ and reference.csv. Writes one OUT/NAME.json per graph,
OUT/references.csv (best split known of any kind) and OUT/contiguous.csv (optimum of
contiguous splits), `name,value` each.

The cost model (Tarnawski et al., NeurIPS 2020; the paper calls accelerators FPGAs): an
accelerator is busy for its nodes' times, for every result of its own that another device
reads (once), and for every result of another device that it reads (once each): `cost` of the
edge, the same on all edges of a node. CPUs move nothing and have all the memory they want.
In our file that is a device with "copy_bandwidth", edges with "tensor", and times as bytes.
"""
import argparse
import csv
import json
import os


def convert(source, name):
    devices = [{"id": f"acc{k}", "kind": "acc", "memory": source["maxSizePerFPGA"],
                "copy_bandwidth": 1} for k in range(source["maxFPGAs"])]
    devices += [{"id": f"cpu{k}", "kind": "cpu"} for k in range(source["maxCPUs"])]
    tasks, groups = [], {}
    for node in source["nodes"]:
        times = {"cpu": node["cpuLatency"]}
        if node["supportedOnFpga"]:
            times["acc"] = node["fpgaLatency"]
        task = {"id": str(node["id"]), "time": times, "memory": node.get("size", 0)}
        if node["isBackwardNode"]:
            task["backward"] = True
        tasks.append(task)
        if "colorClass" in node:
            groups.setdefault(node["colorClass"], []).append(str(node["id"]))
    edges = [{"from": str(e["sourceId"]), "to": str(e["destId"]), "bytes": e["cost"],
              "tensor": "out"} for e in source["edges"]]
    return {"name": name, "devices": devices, "tasks": tasks, "edges": edges,
            "colocate": [g for g in groups.values() if len(g) > 1]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("-o", "--output", required=True)
    arguments = parser.parse_args()
    os.makedirs(arguments.output, exist_ok=True)
    inputs = os.path.join(arguments.folder, "throughput-inputs")
    for kind in sorted(os.listdir(inputs)):
        for file in sorted(os.listdir(os.path.join(inputs, kind))):
            name = f"{kind}_{os.path.splitext(file)[0]}"
            with open(os.path.join(inputs, kind, file), encoding="utf-8") as stream:
                graph = convert(json.load(stream), name)
            with open(os.path.join(arguments.output, name + ".json"), "w",
                      encoding="utf-8") as stream:
                json.dump(graph, stream)
    with open(os.path.join(arguments.folder, "reference.csv"), encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    for output, column in (("references.csv", "best_known_noncontiguous"),
                           ("contiguous.csv", "exact_contiguous_dp")):
        with open(os.path.join(arguments.output, output), "w", encoding="utf-8") as stream:
            for row in rows:
                # Where the exact programme did not end, its linearised form is the reference.
                value = row[column] or row["linearised_dp_DPL"]
                stream.write(f"{row['instance']},{value}\n")


if __name__ == "__main__":
    main()

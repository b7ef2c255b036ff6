# SPDX-License-Identifier: Apache-2.0
"""
What the importers share: a task graph as a dictionary in the format of --graph, a machine of
unequal devices where the instances name none, and transfers scaled to a given ratio of
communication to computation (CCR: mean transfer over mean time).
"""
import json
import os

SPEEDS = (1.0, 2.0, 0.5, 1.5, 0.75, 3.0, 1.25, 1.0)


def options(parser):
    parser.add_argument("out", help="folder for the --graph files")
    parser.add_argument("files", nargs="+")
    parser.add_argument("--devices", type=int, default=8,
                        help="of the made-up machine, where the instance has none (8)")
    parser.add_argument("--ccr", type=float, help="scales transfers to this ratio")
    parser.add_argument("--contention", action="store_true",
                        help="a link carries one transfer at a time")


def machine(count):
    """Devices of different speed and power: a fast one takes more watts than it saves time."""
    speeds = [SPEEDS[k % len(SPEEDS)] for k in range(count)]
    devices = [{"id": f"d{k}", "kind": f"d{k}", "power": round(20 * s ** 1.5 + 10, 3),
                "idle_power": round(2 + 3 * s, 3)} for k, s in enumerate(speeds)]
    links = [{"from": a["id"], "to": b["id"], "bandwidth": 1e9, "latency": 0.0}
             for a in devices for b in devices if a is not b]
    return speeds, devices, links


def scale(graph, ccr):
    """Makes the mean transfer over distinct devices ccr times the mean time."""
    times = [t for task in graph["tasks"] for t in task["time"].values()]
    bytes_ = [edge["bytes"] for edge in graph["edges"]]
    if not times or not sum(bytes_) or not graph["links"]:
        return
    per_byte = sum(1 / link["bandwidth"] for link in graph["links"]) / len(graph["links"])
    mean_time = sum(times) / len(times)
    mean_transfer = per_byte * sum(bytes_) / len(bytes_)
    for link in graph["links"]:
        link["latency"] = 0.0
    for edge in graph["edges"]:
        edge["bytes"] *= ccr * mean_time / mean_transfer


def write(arguments, name, graph):
    if arguments.ccr is not None:
        scale(graph, arguments.ccr)
        name += f"-ccr{arguments.ccr:g}"
    graph["contention"] = arguments.contention
    os.makedirs(arguments.out, exist_ok=True)
    with open(os.path.join(arguments.out, name + ".json"), "w", encoding="utf-8") as file:
        json.dump(graph, file)

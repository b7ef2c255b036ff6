#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Generalised assignment instances of OR-Library's format -> task-graph files.

    import_gap.py DIR -o OUT [NAME...]

DIR holds data.csv (path, best bound, optimum, best value known) and the instances it names, as
in fontanf/generalizedassignmentsolver (MIT). Writes one OUT/NAME.json per instance, NAME being its
path with dashes (chu1997-c20200), OUT/references.csv (`name,value`: the optimum, else the best
value known) and OUT/bounds.csv (`name,value`: the best bound known).

An instance is: agents and jobs; the cost of every job at every agent, agent by agent; what the
job takes of the agent, the same way; what every agent has. Agents become devices "a0".. with
"resources": {"load": what they have}, jobs become tasks that use the resource "load" by device and
take as many seconds as they cost, so that the cost strategy's sum is the instance's cost.
"""
import argparse
import csv
import json
import os


def convert(path, name):
    with open(path, encoding="utf-8") as stream:
        numbers = [int(word) for word in stream.read().split()]
    agents, jobs = numbers[0], numbers[1]
    cells = agents * jobs
    if len(numbers) != 2 + 2 * cells + agents:
        raise SystemExit(f"{path}: {len(numbers)} numbers, not {2 + 2 * cells + agents}")
    costs, loads = numbers[2:2 + cells], numbers[2 + cells:2 + 2 * cells]
    devices = [{"id": f"a{agent}", "kind": "agent", "resources": {"load": room}}
               for agent, room in enumerate(numbers[2 + 2 * cells:])]
    tasks = [{"id": f"j{job}",
              "time": {f"a{agent}": costs[agent * jobs + job] for agent in range(agents)},
              "resources": {"load": {f"a{agent}": loads[agent * jobs + job]
                                     for agent in range(agents)}}} for job in range(jobs)]
    return {"name": name, "devices": devices, "tasks": tasks}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("names", nargs="*", help="ends of paths; all that are there without one")
    parser.add_argument("-o", "--output", required=True)
    arguments = parser.parse_args()
    os.makedirs(arguments.output, exist_ok=True)
    with open(os.path.join(arguments.folder, "data.csv"), encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    with open(os.path.join(arguments.output, "references.csv"), "w", encoding="utf-8") as best, \
            open(os.path.join(arguments.output, "bounds.csv"), "w", encoding="utf-8") as bounds:
        for row in rows:
            path, name = os.path.join(arguments.folder, row["Path"]), row["Path"].replace("/", "-")
            is_wanted = not arguments.names or row["Path"].endswith(tuple(arguments.names))
            if not is_wanted or not os.path.exists(path):
                continue
            best.write(f"{name},{row['Optimum'] or row['Best known solution value']}\n")
            bounds.write(f"{name},{row['Best known bound']}\n")
            with open(os.path.join(arguments.output, name + ".json"), "w",
                      encoding="utf-8") as stream:
                json.dump(convert(path, name), stream)


if __name__ == "__main__":
    main()

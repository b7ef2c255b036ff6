#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Flexible (assembly) job shops as task graphs: no communication, times in seconds.

    import_fjsp.py FILE.txt... -o DIR [--bks bks.json]

Writes one --graph JSON per file and DIR/references.csv (name,value: the best known makespan). The
text format is that of ScheduleOpt/benchmarks, folder fajsp: a line `operations arcs machines`,
an arc per line, then an operation per line as `n (machine time) * n`; '#' starts a comment.
bks.json is looked for in the solutions folder beside the instances when it is not given. Instances
without an entry in it get no line in references.csv.
"""
import argparse
import json
import pathlib
import sys


def read_shop(path):
    """The graph of one file."""
    lines = [line.split("#")[0].split() for line in path.read_text().splitlines()]
    rows = iter([[int(word) for word in line] for line in lines if line])
    task_count, arc_count, machine_count = next(rows)[:3]
    arcs = [next(rows)[:2] for _ in range(arc_count)]  # a third number is the job's
    tasks = []
    for t in range(task_count):
        row = next(rows)
        if len(row) != 1 + 2 * row[0]:
            raise ValueError(f"operation {t}: {row[0]} machines announced, {len(row) - 1} numbers")
        times = {f"m{m}": time for m, time in zip(row[1::2], row[2::2])}
        tasks.append({"id": f"o{t}", "time": times})
    return {
        "name": path.stem,
        "devices": [{"id": f"m{m}", "kind": "machine"} for m in range(machine_count)],
        "tasks": tasks,
        "edges": [{"from": f"o{a}", "to": f"o{b}", "bytes": 0} for a, b in arcs],
    }


def find_bks(path):
    for folder in path.resolve().parents:
        candidate = folder / "solutions" / "bks.json"
        if candidate.exists():
            return candidate
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    parser.add_argument("-o", dest="out", required=True, type=pathlib.Path)
    parser.add_argument("--bks", type=pathlib.Path)
    args = parser.parse_args()
    bks_path = args.bks or find_bks(args.files[0])
    best = {}
    if bks_path:
        for row in json.loads(bks_path.read_text()):
            best[row["instance"]] = row["upper_bound"]
    args.out.mkdir(parents=True, exist_ok=True)
    with open(args.out / "references.csv", "w", encoding="ascii") as references:
        for path in args.files:
            try:
                graph = read_shop(path)
            except (StopIteration, ValueError) as error:
                sys.exit(f"{path}: {error or 'ends early'}")
            (args.out / f"{path.stem}.json").write_text(json.dumps(graph))
            if path.stem in best:
                references.write(f"{path.stem},{best[path.stem]}\n")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""What the kernels of one run of a model take by themselves, by kind, from Nsight Compute's table.

usage: ncu --clock-control none --cache-control none --metrics gpu__time_duration.sum,dram__bytes.sum --launch-count 400 --csv \\
           --print-units base build/cuda/engine_bench --benchmark_filter='GPT-2 1 x' > kernels.csv
       bench/kernels/of_a_run.py kernels.csv [--all]      --all: each kernel's name, count and time, too

Nsight Compute runs kernels one at a time, so what overlaps in a run (a weight read ahead, a kernel that begins before the one ahead has
ended) does not here: the sum may be more than the run takes, and says where to look, not how long it lasts. A run begins with its embedding;
the last one that is in the table whole is counted.
"""

import argparse
import collections
import csv
import sys

KINDS = [("attention", ("attention", "single_query")), ("norms", ("norm_kernel", "moments")), ("embedding", ("embed_kernel",)),
         ("weights read ahead", ("fetch(",)), ("selections, next tokens", ("select_kernel", "feed_back", "judge"))]  # fmt: skip


def kind_of(name):
    return next((kind for kind, parts in KINDS if any(part in name for part in parts)), "products")


def kernels_of(lines):
    """[(name, microseconds, megabytes)] in the order of their launch."""
    found = collections.OrderedDict()
    for row in csv.DictReader(line for line in lines if line.startswith('"')):
        kernel = found.setdefault(row["ID"], {"name": row["Kernel Name"]})
        kernel[row["Metric Name"]] = float(row["Metric Value"].replace(",", ""))
    return [(k["name"], k["gpu__time_duration.sum"] / 1e3, k["dram__bytes.sum"] / 1e6) for k in found.values()]


def last_run(kernels):
    begins = [i for i, (name, _, _) in enumerate(kernels) if "embed_kernel" in name]
    if len(begins) < 2:
        sys.exit("of_a_run: the table holds no whole run, from one embedding to the next: raise --launch-count")
    return kernels[begins[-2] : begins[-1]]


def table(run, key):
    sums = collections.OrderedDict()
    for name, microseconds, megabytes in run:
        count, time, moved = sums.get(key(name), (0, 0.0, 0.0))
        sums[key(name)] = (count + 1, time + microseconds, moved + megabytes)
    for what, (count, time, moved) in sorted(sums.items(), key=lambda item: -item[1][1]):
        print(f"{count:5} {time:9.1f} {moved:9.1f}  {what[:140]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv")
    parser.add_argument("--all", action="store_true")
    args = parser.parse_args()
    with open(args.csv, encoding="utf-8") as lines:
        run = last_run(kernels_of(lines))
    print("count        us        MB")
    table(run, kind_of)
    table(run, lambda _: "all")
    if args.all:
        table(run, lambda name: name)


if __name__ == "__main__":
    main()

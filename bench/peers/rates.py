#!/usr/bin/env python3
"""What a processor reaches, from the benchmarks of its products and its memory: docs/results/rates-cpu-*.json.

usage: bench/peers/rates.py MEMORY.json THREADS=PRODUCTS.json... > docs/results/rates-cpu-PROCESSOR.json

MEMORY.json is kernel_bench's read_memory, PRODUCTS.json format_bench's products on so many threads (--benchmark_format=json both;
performance.py has the commands; several files of one count of threads are taken together: a shared machine is not always as fast). A format's rate is that of its best shape; memory's is the larger of what sums and a row's product in
fp32, where PRODUCTS.json has that, draw from it.
"""
import json
import sys
from pathlib import Path

FORMATS = ("fp32", "bf16", "int8")


def benchmarks(path):
    return json.loads(Path(path).read_text())["benchmarks"]


def rates(memory, products):
    """{threads: {"fp32_GFLOPs": ..., "read_GBps": ...}} of benchmark rows."""
    read = {row["name"].split("threads:")[1].split("/")[0]: row["GB/s"] for row in memory}
    found = {}
    for threads, rows in products.items():
        many = [row for row in rows if "/1/" not in row["name"]]
        found[threads] = {f"{format}_GFLOPs": round(max(row["GFLOP/s"] for row in many if row["name"].startswith(format + "/")), 1) for format in FORMATS}
        drawn = [row["weight GB/s"] for row in rows if row["name"].startswith("fp32/1/768x50257")]
        found[threads]["read_GBps"] = round(max([read[threads], *drawn]), 1)
    return found


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    products = {}
    for threads, path in (word.split("=", 1) for word in sys.argv[2:]):
        products.setdefault(threads, []).extend(benchmarks(path))
    print(json.dumps(rates(benchmarks(sys.argv[1]), products), indent=1))

"""What the processor gives in the minutes of a row: the cell's floor, visited among the contestants. A shared machine is not always as
fast, and a share of the floor means something only where both were measured together."""
import json
import os
import subprocess

from contestants import Unavailable
from floors import bounding_rate, floor_ms

LARGE = "4096/(768x3072|3072x768)"  # products of the models' own layers, with rows enough


class Floor:
    name = "floor"

    def __init__(self, work, format, threads, benchmarks):
        self.work, self.format, self.threads = work.name, format, threads
        rate = bounding_rate(work.name, format)
        if rate == "read_GBps":
            self.program, self.counter, self.wanted = benchmarks / "kernel_bench", "GB/s", f"^read_memory/threads:{threads}/"
        else:
            self.program, self.counter, self.wanted = benchmarks / "format_bench", "GFLOP/s", f"^{rate.split('_')[0]}/{LARGE}/"
        if not self.program.exists():
            raise Unavailable(f"no {self.program.name} beside eaq (cmake -DEAQ_BENCHMARKS=ON builds it)")

    def visit(self, seconds):
        """Milliseconds that the work would take at the best rate of this visit."""
        command = [self.program, f"--benchmark_filter={self.wanted}", f"--benchmark_min_time={seconds / 2}", "--benchmark_format=json"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "EAQ_BENCH_THREADS": str(self.threads)})
            return floor_ms(self.work, self.format, max(row[self.counter] for row in json.loads(done.stdout)["benchmarks"]))
        except (OSError, KeyError, ValueError) as error:  # it does not run, or says something else
            raise Unavailable(f"{self.program.name} {self.wanted} gave no rate: {error}")

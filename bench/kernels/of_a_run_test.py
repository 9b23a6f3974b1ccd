#!/usr/bin/env python3
"""What is counted of Nsight Compute's table: python3 bench/kernels/of_a_run_test.py"""
import contextlib
import io
import sys
import tempfile
import unittest
import unittest.mock
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import of_a_run

RUN = [("void embed_kernel<__half>(Embedding)", "3,200", "1,500,000"), ("nvjet_hsh_128x128", "10,000", "4,000,000"),
       ("void attention_kernel<64>(Attention)", "5,000", "1,000,000"), ("void overlapped_kernel<256>(Tiles)", "20,000", "8,000,000"),
       ("void norm_kernel<__half>(Norm)", "1,500", "500,000"), ("fetch(const unsigned char *)", "700", "2,000,000")]  # fmt: skip


def table(kernels):
    """As `ncu --csv --print-units base` prints it: what it says of itself, then one line a kernel and metric."""
    lines = ["==PROF== Connected to process 12 (engine_bench)\n", '"ID","Kernel Name","Metric Name","Metric Unit","Metric Value"\n']
    for number, (name, ns, moved) in enumerate(kernels):
        lines.append(f'"{number}","{name}","gpu__time_duration.sum","ns","{ns}"\n')
        lines.append(f'"{number}","{name}","dram__bytes.sum","byte","{moved}"\n')
    return lines


def printed(kernels, *options):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernels.csv"
        file.write_text("".join(table(kernels)), encoding="utf-8")
        out = io.StringIO()
        with unittest.mock.patch.object(sys, "argv", ["of_a_run", str(file), *options]), contextlib.redirect_stdout(out):
            of_a_run.main()
        return [line.split(maxsplit=3) for line in out.getvalue().splitlines()[1:]]


class OfARun(unittest.TestCase):
    def test_kinds_are_summed_and_the_longest_stands_first(self):
        rows = printed(RUN + RUN[:1])
        self.assertEqual(rows[0], ["2", "30.0", "12.0", "products"])
        self.assertEqual(rows[1], ["1", "5.0", "1.0", "attention"])
        self.assertEqual({row[3] for row in rows},
                         {"products", "attention", "norms", "embedding", "weights read ahead", "all"})  # fmt: skip
        self.assertEqual(rows[-1], ["6", "40.4", "17.0", "all"])

    def test_the_last_whole_run_counts_and_no_part_of_another(self):
        slow = [(name, "99,000", moved) for name, _, moved in RUN]
        self.assertEqual(printed(RUN[3:] + slow + RUN + RUN[:4])[-1], ["6", "40.4", "17.0", "all"])

    def test_each_kernel_by_its_name(self):
        self.assertIn(["1", "20.0", "8.0", "void overlapped_kernel<256>(Tiles)"], printed(RUN + RUN[:1], "--all"))

    def test_a_table_without_a_whole_run_is_refused(self):
        with self.assertRaisesRegex(SystemExit, "no whole run"):
            printed(RUN)


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
"""What the run on a processor counts, without any framework: python3 bench/peers/cpu/cpu_test.py"""
import io
import sys
import tempfile
import time
import unittest
import unittest.mock
from contextlib import redirect_stderr
from pathlib import Path
from types import SimpleNamespace

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent)]
import cpu_result
import crew
from answers import base, verdict
from contestants import Unavailable
from cpu_run import Row, arguments, chosen, main, who_goes_on
from eaq_on_cpu import EaqOnCpu
import floors
import performance
from floor import Floor
from peer import NOT_MEANT, Peer, Task, made
from works import WORKS

WORK = {work.name: work for work in WORKS}

# A peer for tests: a process that needs nothing but Python.
TOY = '''
from peer import NOT_MEANT, Peer, Unavailable
class Toy(Peer):
    name = "toy"
    def __init__(self, task):
        super().__init__(task)
        if task.format == "bf16":
            raise Unavailable("no bf16 here")
        if task.format == "int8":
            import os
            os._exit(7)
        print("a framework that prints")
    def answers(self):
        return {"logits": []}
    def run_pass(self):
        pass
PEERS = [Toy]
'''


def args(**changes):
    return SimpleNamespace(**{**dict(blocks=8, max_blocks=16, precision=0.02, min_seconds=1.0, keep=3, screen=1.3, peers=None, eaq=None), **changes})


class Contestant:
    """Milliseconds by the script, the last for ever."""

    def __init__(self, *ms):
        self.ms, self.visits = list(ms), 0

    def visit(self, seconds):
        self.visits += 1
        ms = self.ms.pop(0) if len(self.ms) > 1 else self.ms[0]
        if isinstance(ms, Exception):
            raise ms
        return ms


def row_of(work="distilbert-b1-s128", options=None, **ready):
    row = Row(SimpleNamespace(work=WORK[work]), "fp32", 2, None, options or args())
    row.ready = dict(ready)
    row.records = [{"name": name, "options": ""} for name in ready]
    return row


def quietly(run):
    with redirect_stderr(io.StringIO()):
        return run()


class Screening(unittest.TestCase):
    def test_the_fastest_go_on_and_nobody_far_behind(self):
        times = {"eaq": 1.0, "a": 10.0, "b": 11.0, "c": 12.0, "d": 12.5, "e": 14.0}
        self.assertEqual(who_goes_on(times, 3, 1.3), ["a", "b", "c"])
        self.assertEqual(who_goes_on(times, 9, 1.3), ["a", "b", "c", "d"])
        self.assertEqual(who_goes_on({"eaq": 1.0}, 3, 1.3), [])

    def test_who_is_only_screened_keeps_that_time_and_says_so(self):
        row = row_of(eaq=Contestant(10.0), fast=Contestant(11.0), slow=Contestant(30.0))
        quietly(row.screen)
        quietly(row.run_blocks)
        made = cpu_result.make_row(row.work, "fp32", 2, row.records, row.screened, row.blocks)
        slow = next(cell for cell in made["peers"] if cell["name"] == "slow")
        self.assertEqual((slow["ms"], slow["screened"]), (30.0, True))
        self.assertEqual(made["best_peer"], "fast")
        self.assertAlmostEqual(made["time_ratio"]["mean"], 1.1)
        self.assertEqual(made["threads"], 2)

    def test_who_is_shown_for_information_is_never_the_best(self):
        row = row_of(eaq=Contestant(10.0), fast=Contestant(11.0), fewer_bits=Contestant(5.0))
        row.records[2]["does_not_count"] = "4 bits"
        quietly(row.screen)
        quietly(row.run_blocks)
        made = cpu_result.make_row(row.work, "int8+head", 2, row.records, row.screened, row.blocks)
        self.assertEqual(made["best_peer"], "fast")
        self.assertEqual(next(cell for cell in made["peers"] if cell["name"] == "fewer_bits")["ms"], 5.0)


class Blocks(unittest.TestCase):
    def test_no_more_blocks_than_precision_asks(self):
        row = row_of(eaq=Contestant(10.0), peer=Contestant(11.0))
        quietly(row.run_blocks)
        self.assertEqual(len(row.blocks), 8)

    def test_noise_is_given_more_blocks_up_to_the_most(self):
        row = row_of(eaq=Contestant(10.0), peer=Contestant(*[5.0, 5.0, 20.0, 20.0] * 20))
        quietly(row.run_blocks)
        self.assertEqual(len(row.blocks), 16)

    def test_who_fails_in_a_visit_leaves_the_row(self):
        row = row_of(eaq=Contestant(10.0), peer=Contestant(11.0), bad=Contestant(10.5, 10.5, 10.5, RuntimeError("out of memory")))
        quietly(row.run_blocks)
        self.assertTrue(all(set(block) == {"eaq", "peer"} for block in row.blocks))
        self.assertIn("out of memory", row.records[2]["does_not_count"])


# A benchmark for tests: says what it was asked, and two rates.
BENCHMARK = """#!/bin/sh
echo "$EAQ_BENCH_THREADS $*" >> "$0.asked"
echo '{"benchmarks": [{"GFLOP/s": 100.0, "GB/s": 10.0}, {"GFLOP/s": 200.0, "GB/s": 20.0}]}'
"""


class Floors(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.benchmarks = Path(self.folder.name)
        for name in ("format_bench", "kernel_bench"):
            (self.benchmarks / name).write_text(BENCHMARK)
            (self.benchmarks / name).chmod(0o755)

    def test_products_are_bounded_by_operations_and_a_token_by_bytes(self):
        # A layer is 7,077,888 weights, twelve of them and a head of 38,597,376.
        weights = 12 * 7_077_888 + 38_597_376
        self.assertAlmostEqual(Floor(WORK["gpt2-decode"], "int8+head", 2, self.benchmarks).visit(0.5), weights / 20e9 * 1e3)
        self.assertAlmostEqual(Floor(WORK["gpt2-decode"], "bf16", 2, self.benchmarks).visit(0.5), 2 * weights / 20e9 * 1e3)
        operations = 2 * 128 * weights + 2 * 128 * 128 * 768 * 12
        self.assertAlmostEqual(Floor(WORK["gpt2-b1-s128"], "int8+head", 1, self.benchmarks).visit(0.5), operations / 200e9 * 1e3)
        asked = (self.benchmarks / "format_bench.asked").read_text()
        self.assertIn("1 --benchmark_filter=^int8/4096/", asked)
        self.assertIn("threads:2/", (self.benchmarks / "kernel_bench.asked").read_text())

    def test_of_the_last_layer_counts_what_the_answer_needs(self):
        layer, width, length = 7_077_888, 768, 128
        whole_layer = 2 * layer * length + 4 * length * width * length
        self.assertEqual(floors.operations("distilbert-b1-s128", spares=False), 6 * whole_layer)
        # Keys and values of all tokens; the rest, and one query, of the first alone.
        last = 2 * 2 * width * width * length + 2 * (layer - 2 * width * width) + 4 * length * width
        self.assertEqual(floors.operations("distilbert-b1-s128"), 5 * whole_layer + last)
        self.assertEqual(floors.operations("distilbert-b32-s128"), 32 * (5 * whole_layer + last))
        self.assertEqual(floors.operations("gpt2-b1-s128"), floors.operations("gpt2-b1-s128", spares=False))
        self.assertLess(floors.operations("gpt2-b1-s128-last"), floors.operations("gpt2-b1-s128-last", spares=False))

    def test_a_share_of_before_is_drawn_by_what_is_counted_now(self):
        row = {"work": "distilbert-b1-s128", "format": "fp32", "threads": 1, "eaq": {"ms": 10.0},
               "floor": {"ms": 11.0, "share": {"mean": 1.1, "ci95": [1.0, 1.2]}}}  # fmt: skip
        less = floors.operations(row["work"]) / floors.operations(row["work"], spares=False)
        for part in (less, 1.0):
            (_, _, _, _, share, _), = performance.cells_of({"rows": [row]}, {})
            self.assertAlmostEqual(share["mean"], 1.1 * part)
            self.assertAlmostEqual(share["ci95"][1], 1.2 * part)
            row["floor"]["operations"] = floors.operations(row["work"])  # a row that says what it counted is drawn as it is

    def test_a_row_tells_its_share_with_an_interval_and_no_peer_of_that_name(self):
        row = row_of(eaq=Contestant(10.0), peer=Contestant(11.0))
        row.floor = Contestant(8.0)
        quietly(row.run_blocks)
        made = cpu_result.make_row(row.work, "fp32", 2, row.records, row.screened, row.blocks)
        self.assertAlmostEqual(made["floor"]["ms"], 8.0)
        self.assertAlmostEqual(made["floor"]["share"]["mean"], 0.8)
        self.assertIsNotNone(made["floor"]["share"]["ci95"])
        self.assertEqual((made["best_peer"], [cell["name"] for cell in made["peers"]]), ("peer", ["peer"]))

    def test_a_row_goes_on_without_one(self):
        row = row_of(eaq=Contestant(10.0), peer=Contestant(11.0))
        row.floor = Contestant(8.0, 8.0, 8.0, Unavailable("gone"))
        quietly(row.run_blocks)
        made = cpu_result.make_row(row.work, "fp32", 2, row.records, row.screened, row.blocks)
        self.assertIsNone(made["floor"])
        self.assertEqual(len(row.blocks), 8)
        (self.benchmarks / "kernel_bench").unlink()
        with self.assertRaisesRegex(Unavailable, "EAQ_BENCHMARKS"):
            Floor(WORK["gpt2-decode"], "fp32", 1, self.benchmarks)


class Answers(unittest.TestCase):
    def test_gpt2_is_held_to_its_distribution_too(self):
        saturated = {"relative_error": 0.1, "kl_per_answer": 4.0}
        self.assertIn("KL", verdict(saturated, "int8+head", "gpt2"))
        self.assertIsNone(verdict(saturated, "int8", "distilbert"))
        self.assertIn("relative error", verdict({"relative_error": float("nan"), "kl_per_answer": 0.0}, "fp32", "distilbert"))

    def test_a_head_does_not_change_the_format(self):
        self.assertEqual((base("int8+head"), base("fp32")), ("int8", "fp32"))


class Rows(unittest.TestCase):
    def test_each_count_of_threads_has_rows_of_its_own(self):
        rows, skipped = chosen(args(threads=[1, 2], works=["gpt2-decode"], formats=["int8", "fp16"]), {"fp32", "bf16", "int8"})
        self.assertEqual([(threads, format) for threads, _, format in rows], [(1, "int8+head"), (2, "int8+head")])
        self.assertEqual([one["format"] for one in skipped], ["fp16", "fp16"])

    def test_a_format_may_be_named_with_its_head(self):
        rows, _ = chosen(args(threads=[1], works=["gpt2-decode", "distilbert-b1-s128"], formats=["int8+head"]), {"fp32", "int8"})
        self.assertEqual([(work.name, format) for _, work, format in rows], [("gpt2-decode", "int8+head")])

    def test_names_that_nobody_knows_are_refused(self):
        for option in ("--formats", "--works", "--peers"):
            said = io.StringIO()
            with unittest.mock.patch.object(sys, "argv", ["run", option, "int7"]), redirect_stderr(said), self.assertRaises(SystemExit) as ended:
                arguments()
            self.assertEqual(ended.exception.code, 2)
            self.assertIn("int7; known: ", said.getvalue())

    def test_a_run_of_no_row_leaves_the_result_as_it_is(self):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "r.json"
            out.write_text("as it was")
            library = unittest.mock.MagicMock()
            with unittest.mock.patch.dict(sys.modules, {"torch": library, "transformers": library}), \
                 unittest.mock.patch.object(sys, "argv", ["run", "--without-eaq", "--models", folder, "--out", str(out), "--minutes", "1e-9"]), redirect_stderr(io.StringIO()) as said:
                self.assertEqual(main(), 0)
            self.assertEqual(out.read_text(), "as it was")
            self.assertIn("no row was run", said.getvalue())

    def test_earlier_rows_stay_and_new_ones_take_their_place(self):
        machine = {"model_name": "AMD EPYC", "family": "25", "model": "17", "instructions": "avx512_vnni_bf16"}
        old = {"machine": {**machine, "threads": 2}, "rows": [{"work": "sst2-dev", "format": "fp32"}, {"work": "gpt2-decode", "format": "fp32", "ms": "old"}]}
        kept = cpu_result.earlier_rows(old, machine)
        new = {"machine": {**machine, "threads": [1]}, "rows": [{"work": "gpt2-decode", "format": "fp32", "threads": 2, "ms": "new"}, {"work": "gpt2-decode", "format": "fp32", "threads": 1}]}
        result = cpu_result.merged(new, kept)
        self.assertEqual([(row["work"], row["threads"], row.get("ms")) for row in result["rows"]],
                         [("sst2-dev", 2, None), ("gpt2-decode", 2, "new"), ("gpt2-decode", 1, None)])
        self.assertEqual(result["machine"]["threads"], [1, 2])
        with self.assertRaises(SystemExit):
            cpu_result.earlier_rows({"machine": {**machine, "model": "1"}, "rows": []}, machine)

    def test_sst2_is_counted_by_the_sentence(self):
        eaq = object.__new__(EaqOnCpu)
        eaq.work, eaq.format, eaq.threads = WORK["sst2-dev"], "fp32", 2
        run = {"format": "fp32", "emulated": False, "phase": "forward", "unit": "sentence", "batch": 32, "seq": 0, "latency_ms": {"mean": 300.0}, "throughput_per_s": {"mean": 100.0}}
        self.assertEqual(eaq.milliseconds({"runs": [run], "refused": []}), 10.0)


class Processes(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        (self.folder / "toy_peer.py").write_text(TOY)
        self.task = lambda format: Task(WORK["distilbert-b1-s128"], format, 2, self.folder, [], self.folder)
        self.enterContext(unittest.mock.patch.dict("os.environ", {"PYTHONPATH": str(self.folder)}))

    def started(self):
        kind = type("Toy", (Peer,), {"name": "toy"})
        process = crew.Process("toy_peer", kind, self.folder / "log", 2)
        self.addCleanup(process.kill)
        return process

    def ask(self, process, format="fp32", **request):
        from dataclasses import asdict

        task = self.task(format)
        return process.ask({"do": "load", "module": "toy_peer", "peer": "toy", "work": asdict(task.work), "format": format, "threads": 2, "model": str(self.folder),
                            "batches": None, "cache": str(self.folder), **request}, 30)

    def wait_until_stopped(self, pid):
        """A signal is delivered soon, not at once."""
        for _ in range(500):
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T":
                return
            time.sleep(0.01)
        self.fail("the worker is not stopped")

    def test_a_peer_is_loaded_visited_and_stopped_between(self):
        process = self.started()
        self.ask(process)
        self.assertEqual(process.visit(0.0) >= 0, True)
        self.wait_until_stopped(process.process.pid)
        self.assertIn("a framework that prints", (self.folder / "log").read_text())

    def test_a_reason_is_passed_on(self):
        with self.assertRaisesRegex(Unavailable, "no bf16 here"):
            self.ask(self.started(), "bf16")

    def test_a_process_that_dies_is_a_reason_too(self):
        with self.assertRaisesRegex(Unavailable, "ended .7."):
            self.ask(self.started(), "int8")

    def test_every_file_lists_its_ways(self):
        names = [kind.name for _, kind in crew.kinds()]
        self.assertEqual(len(names), len(set(names)))
        for expected in ("torch eager", "torch compile", "ONNX Runtime", "CTranslate2", "OpenVINO", "zentorch", "llama.cpp"):
            self.assertIn(expected, names)

    def test_no_peer_is_silent_about_a_work(self):
        """A refusal known without trying is a sentence."""
        for _, kind in crew.kinds():
            for work in WORKS:
                for format in ("fp32", "bf16", "fp16", "int8"):
                    self.assertTrue(kind.refuses(work, format) in (None, NOT_MEANT) or len(kind.refuses(work, format)) > 5)


class Converted(unittest.TestCase):
    def test_what_is_made_once_is_made_once_and_whole(self):
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        calls = []
        for _ in range(2):
            made(folder / "a", lambda path: (calls.append(path), path.write_text("x")))
        self.assertEqual([path.name for path in calls], ["part-a"])
        with self.assertRaises(ValueError):
            made(folder / "b", lambda path: (path.write_text("half"), int("x")))
        self.assertFalse((folder / "b").exists())


if __name__ == "__main__":
    unittest.main()

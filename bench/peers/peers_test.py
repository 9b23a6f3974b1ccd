#!/usr/bin/env python3
"""What needs neither PyTorch nor a built program: python3 bench/peers/peers_test.py"""
import json
import math
import random
import sys
import tempfile
import unittest
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parent))
import peers
import statistics_of_blocks as statistics
from contestants import Eaq, Unavailable
from works import WORKS, native_formats, not_run_here


def study(**changes):
    run = {"format": "int8", "emulated": False, "phase": "forward", "unit": "sentence", "batch": 32, "seq": 128, "latency_ms": {"mean": 512.5}, "kernels": ["k"]}
    return {"schema": "eaq.study/1", "runs": [{**run, **changes}], "refused": []}


def reader(format="int8", work="distilbert-b32-s128"):
    eaq = object.__new__(Eaq)
    eaq.work, eaq.format, eaq.program, eaq.model, eaq.threads, eaq.cycle_seconds = next(w for w in WORKS if w.name == work), format, "eaq", "m", 2, 0.0
    return eaq


class Statistics(unittest.TestCase):
    def test_a_ratio_is_paired_so_drift_cancels(self):
        blocks = [{"eaq": [10 * d, 10 * d], "peer": [12 * d, 12 * d]} for d in (1, 3, 0.5, 7)]
        found = statistics.ratio(blocks, "peer", "eaq")
        self.assertAlmostEqual(found["mean"], 1.2)
        self.assertAlmostEqual(found["ci95"][0], 1.2)

    def test_intervals_cover_95_percent(self):
        rng = random.Random(1)
        covered = 0
        for _ in range(4000):
            blocks = [{"eaq": [1.0], "peer": [1.1 * math.exp(rng.gauss(0, 0.05))]} for _ in range(8)]
            low, high = statistics.ratio(blocks, "peer", "eaq")["ci95"]
            covered += low <= 1.1 <= high
        self.assertAlmostEqual(covered / 4000, 0.95, delta=0.012)

    def test_one_block_has_no_interval(self):
        self.assertIsNone(statistics.ratio([{"a": [2.0], "b": [1.0]}], "a", "b")["ci95"])

    def test_quantiles_meet_where_the_table_ends(self):
        self.assertAlmostEqual(statistics.t95(30), 2.042, places=3)
        self.assertAlmostEqual(statistics.t95(60), 2.000, places=2)


class Blocks(unittest.TestCase):
    def test_every_block_is_abba_and_begins_elsewhere(self):
        self.assertEqual(peers.order_of_block(["a", "b", "c"], 0), ["a", "b", "c", "c", "b", "a"])
        self.assertEqual(peers.order_of_block(["a", "b", "c"], 1), ["b", "c", "a", "a", "c", "b"])

    def test_the_best_peer_is_the_one_that_counts(self):
        work = WORKS[0]
        records = [{"name": "eaq"}, {"name": "slow"}, {"name": "fast"}, {"name": "wrong", "does_not_count": "wrong answers"}]
        blocks = [{"eaq": [10.0, 10.0], "slow": [30.0, 30.0], "fast": [11.0, 11.0]}] * 2
        ready = {name: SimpleNamespace() for name in ("eaq", "slow", "fast")}
        row = peers.make_row(work, "fp32", records, ready, blocks)
        self.assertEqual(row["best_peer"], "fast")
        self.assertAlmostEqual(row["time_ratio"]["mean"], 1.1)
        self.assertIsNone(next(cell for cell in row["peers"] if cell["name"] == "wrong")["ms"])
        self.assertIsNone(row["eaq"]["mJ_per_sample"])


class EaqReader(unittest.TestCase):
    def test_reads_the_mean_latency(self):
        self.assertEqual(reader().milliseconds(study()), 512.5)

    def test_another_format_than_asked_for_is_an_error(self):
        with self.assertRaises(RuntimeError):
            reader().milliseconds(study(format="fp32"))

    def test_emulation_is_an_error(self):
        with self.assertRaises(RuntimeError):
            reader().milliseconds(study(emulated=True))

    def test_a_refusal_is_passed_on(self):
        with self.assertRaisesRegex(Unavailable, "no VNNI"):
            reader().milliseconds({"runs": [], "refused": [{"reason": "no VNNI"}]})

    def test_a_decode_must_be_per_token(self):
        decode = study(format="fp32", phase="decode", batch=1, unit="token")
        self.assertEqual(reader("fp32", "gpt2-decode").milliseconds(decode), 512.5)
        decode["runs"][0]["unit"] = "window"
        with self.assertRaises(RuntimeError):
            reader("fp32", "gpt2-decode").milliseconds(decode)

    def test_a_decode_is_timed_over_all_its_tokens(self):
        eaq = reader("fp32", "gpt2-decode")
        asked = []
        eaq.call = lambda command: asked.append(command[command.index("--min-seconds") + 1]) or json.dumps(
            study(format="fp32", phase="decode", batch=1, seq=256, unit="token", latency_ms={"mean": 20.0}))
        self.assertEqual(eaq.visit(1), 20.0)
        eaq.visit(1)
        self.assertEqual(asked[0], 0.25)
        self.assertGreater(min(asked[1:]), 128 * 0.020)

    def test_a_visit_is_four_short_ones_of_its_own_study(self):
        command = " ".join(map(str, reader().study_command(1, "OUT")))
        self.assertEqual(command, "eaq study m --formats int8 --batch 32 --seq 128 --phase forward --device cpu --threads 2 --protocol blocks "
                                  "--min-seconds 0.25 --meter none --blocks 2 --limit 1 --json --out OUT")


    def test_a_whole_set_runs_at_its_own_lengths(self):
        command = " ".join(map(str, reader(work="sst2-dev").study_command(1, "OUT")))
        self.assertIn("--batch 32 --unpadded --phase forward", command)
        self.assertNotIn("--limit", command)


class Machine(unittest.TestCase):
    def cpuinfo(self, text):
        file = Path(self.enterContext(tempfile.TemporaryDirectory())) / "cpuinfo"
        file.write_text(text)
        return file

    def test_formats_are_those_of_the_instructions(self):
        self.assertEqual(native_formats(self.cpuinfo("flags\t\t: fpu avx2\n")), {"fp32"})
        self.assertEqual(native_formats(self.cpuinfo("flags\t\t: avx512_bf16 avx512_vnni\n")), {"fp32", "bf16", "int8"})

    def test_int8_has_a_row_everywhere_and_bf16_where_it_is_native_or_only_read(self):
        works = {work.name: work for work in WORKS}
        avx2, zen4 = {"fp32"}, {"fp32", "bf16", "int8"}
        self.assertIsNone(not_run_here(works["distilbert-b1-s128"], "int8", avx2))
        self.assertIsNone(not_run_here(works["gpt2-decode"], "bf16", avx2))
        self.assertIn("natively", not_run_here(works["distilbert-b1-s128"], "bf16", avx2))
        self.assertIsNone(not_run_here(works["distilbert-b1-s128"], "bf16", zen4))
        self.assertIsNone(not_run_here(works["gpt2-decode"], "fp16", avx2))
        self.assertIsNotNone(not_run_here(works["gpt2-decode"], "fp16", zen4))

    def test_a_nameless_processor_is_told_by_family_and_model(self):
        hidden = peers.processor(self.cpuinfo("processor\t: 0\ncpu family\t: 26\nmodel\t\t: 2\nmodel name\t: AMD EPYC\nflags\t\t: avx2 avx512f avx512_vnni\n"))
        self.assertEqual(peers.file_name(hidden), "peers-cpu-amd-epyc-family-26-model-2-avx512-vnni.json")
        named = {**hidden, "model_name": "AMD EPYC 9354P 32-Core Processor"}
        self.assertEqual(peers.file_name(named), "peers-cpu-amd-epyc-9354p-32-core-processor.json")

    def test_a_command_shows_no_folder_of_this_machine(self):
        self.addCleanup(setattr, sys, "argv", sys.argv)
        sys.argv = ["/home/me/peers.py", "--models", "/home/me/models", "--blocks", "8", "--out=/tmp/x"]
        self.assertEqual(peers.command(), ["bench/peers/run", "--models", "DIR", "--blocks", "8", "--out=DIR"])

    def test_a_result_is_whole_or_absent(self):
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        peers.write(folder / "new" / "r.json", {"rows": []})
        self.assertEqual([p.name for p in (folder / "new").iterdir()], ["r.json"])
        self.assertEqual(json.loads((folder / "new" / "r.json").read_text()), {"rows": []})


if __name__ == "__main__":
    unittest.main()

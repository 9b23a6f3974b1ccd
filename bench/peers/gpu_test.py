#!/usr/bin/env python3
"""The run on a graphics card, as far as it needs none: python3 bench/peers/gpu_test.py (what needs PyTorch is skipped without it)"""
import importlib.util
import json
import random
import shutil
import subprocess
import sys
import tempfile
import unittest
import unittest.mock
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parent))
import gpu
import gpu_result
import gpu_run
import peers
from contestants import Unavailable
from gpu_contestants import EaqOnGpu
from gpu_works import WORKS, padded_length, parts_of_a_pass, sorted_batches, tiny, unit_of
from works import ROOT

TORCH = all(importlib.util.find_spec(name) for name in ("torch", "transformers", "safetensors"))
RECORDING = ROOT / "eaq/measure/testdata/h200/plateau.csv.zst"


def work_named(name):
    return next(work for work in WORKS if work.name == name)


def edges(watts, seconds, period=0.1, jitter=0.0, seed=1):
    """Of a counter that moves at a beat and is seen late."""
    rng = random.Random(seed)
    return [(k * period + rng.uniform(0, jitter), watts * k * period) for k in range(1, int(seconds / period) + 1)]


class Counter(unittest.TestCase):
    def test_an_edge_is_where_the_counter_moved(self):
        self.assertEqual(list(gpu.edges_of([(0, 5), (1, 5), (2, 6), (3, 6), (4, 9)])), [(2, 6), (4, 9)])

    def test_the_slope_is_the_power_between_the_edges_inside(self):
        idle_before = [(0.1 * k, 10.0 * k) for k in range(10)]
        load = [(1 + 0.1 * k, 100 + 70.0 * k) for k in range(30)]
        self.assertAlmostEqual(gpu.slope_watts(idle_before + load, 1.05, 3.9), 700, places=6)

    def test_fewer_than_four_edges_give_no_power(self):
        self.assertIsNone(gpu.slope_watts(edges(300, 10), 1.05, 1.35))
        self.assertIsNone(gpu.slope_watts([], 0, 1))

    def test_lateness_goes_where_the_beat_is_known(self):
        off_with, off_without = [], []
        for seed in range(40):
            seen = edges(700, 6, jitter=0.008, seed=seed)
            off_with.append(abs(gpu.slope_watts(seen, 2, 4) - 700))
            inside = [edge for edge in seen if 2 <= edge[0] <= 4]
            off_without.append(abs(gpu.fit_line(inside)[0] - 700))
        self.assertLess(sum(off_with), 0.3 * sum(off_without))

    def test_a_counter_read_when_looked_at_has_no_beat(self):
        self.assertIsNone(gpu.beat_of([(seen, 700 * seen) for seen, _ in edges(700, 6, jitter=0.008)]))

    @unittest.skipUnless(shutil.which("zstdcat"), "no zstdcat here")
    def test_a_recording_of_a_card_gives_the_power_that_eaq_finds_in_it(self):
        rows = subprocess.run(["zstdcat", RECORDING], capture_output=True, text=True, check=True).stdout.splitlines()[1:]
        fields = [row.split(",") for row in rows]
        seen = [(float(t), float(joules)) for t, zone, joules, *_ in fields if zone.endswith("GPU-h200") and joules]
        self.assertAlmostEqual(gpu.beat_of(seen[:300])[1], 0.1, delta=1e-5)
        for start in range(2, 60, 5):
            self.assertAlmostEqual(gpu.slope_watts(seen, start, start + 5), 691.5, delta=0.7)

    def test_the_looking_process_tells_every_edge(self):
        now, told = [0.0], []
        gpu.look(lambda: int(now[0] * 10) * 30.0, lambda seen, joules: told.append((seen, joules)), clock=lambda: now[0],
                 sleep=lambda seconds: now.__setitem__(0, now[0] + seconds), goes_on=lambda: now[0] < 1.0)
        self.assertEqual(len(told), 9)
        self.assertAlmostEqual(gpu.fit_line(told)[0], 300, delta=5)

    def test_a_card_that_is_not_there_gives_a_reason_and_no_joules(self):
        recorder = gpu.Recorder("GPU-00000000-0000-0000-0000-000000000000")
        recorder.reader.join(20)
        self.assertIsNone(recorder.watts(0, 1))
        self.assertIn("nvml", recorder.why_none())
        recorder.close()


class Visits(unittest.TestCase):
    def card(self, pass_seconds):
        """Passes are only submitted; their time shows when they are waited for."""
        state = SimpleNamespace(now=0.0, queued=0, passes=0, waits=0)

        def run_pass():
            state.queued += 1
            state.passes += 1

        def synchronize():
            state.now += state.queued * pass_seconds
            state.queued = 0
            state.waits += 1

        return state, run_pass, synchronize

    def test_a_visit_lasts_as_long_as_asked_and_waits_once(self):
        state, run_pass, synchronize = self.card(0.002)
        start, end, count = gpu.timed_passes(run_pass, synchronize, 3.0, 0.5, clock=lambda: state.now)
        self.assertAlmostEqual(end - start, 3.0, places=6)
        self.assertEqual(count, 1500)
        self.assertGreaterEqual(start, 0.5)
        waits = state.waits
        gpu.timed_passes(run_pass, synchronize, 30.0, 0.5, clock=lambda: state.now)
        self.assertEqual(state.waits, 2 * waits)

    def test_a_slow_pass_is_run_three_times(self):
        state, run_pass, synchronize = self.card(5.0)
        self.assertEqual(gpu.timed_passes(run_pass, synchronize, 1.0, 0.5, clock=lambda: state.now)[2], 3)

    def test_joules_of_a_pass_are_power_times_its_seconds(self):
        state, run_pass, synchronize = self.card(0.01)
        seconds, joules = gpu.visit(run_pass, synchronize, SimpleNamespace(watts=lambda start, end: 400.0), 1.0, 0.1, clock=lambda: state.now)
        self.assertAlmostEqual(seconds, 0.01)
        self.assertAlmostEqual(joules, 4.0)

    def test_without_a_counter_a_visit_still_has_a_time(self):
        state, run_pass, synchronize = self.card(0.01)
        self.assertEqual(gpu.visit(run_pass, synchronize, None, 1.0, 0.1, clock=lambda: state.now)[1], None)


class Works(unittest.TestCase):
    def test_sentences_of_a_batch_are_of_like_length(self):
        self.assertEqual(sorted_batches([9, 3, 7, 3, 1], 2), [[4, 1], [3, 2], [0]])
        self.assertEqual([padded_length(n) for n in (1, 8, 9, 55)], [8, 8, 16, 56])

    def test_what_a_time_and_a_joule_are_of(self):
        self.assertEqual(parts_of_a_pass(work_named("gpt2-b8-s1024")), (1, 8))
        self.assertEqual(parts_of_a_pass(work_named("gpt2-decode")), (128, 128))
        self.assertEqual(parts_of_a_pass(work_named("sst2-dev")), (872, 872))
        self.assertEqual(unit_of(work_named("distilbert-b32-s128")), {"ms_per": "batch", "sample": "sentence"})


def eaq(name="distilbert-b32-s128", **arguments):
    one = object.__new__(EaqOnGpu)
    defaults = {"eaq_protocol": "blocks", "eaq_options": [], "uuid": None, "warm_seconds": 0.7}
    one.work, one.format, one.device, one.args = work_named(name), "fp16", "cuda", SimpleNamespace(**{**defaults, **arguments})
    one.program, one.model, one.seconds, one.iterations, one.mJ, one.why_no_mJ = "eaq", "m", 1.5, None, None, None
    return one


def study(**changes):
    run = {"format": "fp16", "emulated": False, "phase": "forward", "unit": "sentence", "batch": 32, "seq": 128, "latency_ms": {"mean": 0.7},
           "energy": {"mJ_per_sample": {"mean": 15.1}}, "notes": ["timed outputs agree with evaluation's: relative difference 1.0e-04"]}
    return {"runs": [{**run, **changes}], "refused": []}


class EaqReader(unittest.TestCase):
    def words(self, one):
        return " ".join(map(str, one.study_command(1.5, "OUT")))

    def test_its_command_is_the_shipped_program_s(self):
        self.assertEqual(self.words(eaq()), "eaq study m --device cuda --formats fp16 --batch 32 --seq 128 --phase forward --blocks 2 --min-seconds 1.5 "
                                            "--limit 32 --json --out OUT")

    def test_real_lengths_are_the_whole_dev_set_unpadded(self):
        self.assertIn("--batch 218 --unpadded --phase forward --blocks 2", self.words(eaq("sst2-dev")))
        self.assertNotIn("--limit", self.words(eaq("sst2-dev")))

    def test_protocol_original_reads_the_counter(self):
        one = eaq(eaq_protocol="original", eaq_options=["--seed", "3"])
        one.iterations = 900
        self.assertIn("--protocol original --method counter --trials 2 --iterations 900 --warmup 420 --limit 32 --seed 3 --json", self.words(one))

    def test_options_given_for_it_replace_its_own(self):
        self.assertIn("--phase forward --min-seconds 1.5 --limit 32 --blocks 5 --warmup 50 --json", self.words(eaq(eaq_options=["--blocks", "5", "--warmup", "50"])))

    def test_time_is_of_a_batch_and_joules_of_a_sample(self):
        one = eaq()
        self.assertEqual(one.milliseconds(study()), 0.7)
        self.assertEqual(one.mJ, 15.1)

    def test_real_lengths_count_per_sentence(self):
        one = eaq("sst2-dev")
        self.assertAlmostEqual(one.milliseconds(study(batch=218, seq=0, latency_ms={"mean": 2.18})), 0.01)

    def test_no_joules_come_with_the_reason(self):
        one = eaq()
        one.milliseconds(study(energy=None, energy_unavailable="no visit gave joules", throttled=["process 7 computes on the card, too"]))
        self.assertIsNone(one.mJ)
        self.assertEqual(one.why_no_mJ, "no visit gave joules; process 7 computes on the card, too")

    def test_passes_that_answer_otherwise_do_not_count(self):
        with self.assertRaisesRegex(Unavailable, "wrong answers"):
            eaq().milliseconds(study(notes=["timed outputs DIFFER from evaluation's: relative difference 3.0e-01"]))

    def test_it_sees_the_one_card_that_is_compared(self):
        one, asked = eaq(uuid="GPU-7"), []
        with unittest.mock.patch("subprocess.run", lambda command, **_: asked.append(command) or SimpleNamespace(returncode=0, stdout="", stderr="")):
            one.call(["eaq", "--version"])
        self.assertEqual(asked, [["env", "CUDA_VISIBLE_DEVICES=GPU-7", "eaq", "--version"]])


class Stub:
    """A contestant of a known speed, for rows without a card."""

    why_no_mJ = None

    def __init__(self, seconds, fails_after=None):
        self.seconds, self.passes, self.fails_after = seconds, 0, fails_after

    def visit_in_units(self):
        return 1000 * self.seconds, 5.0


class Rows(unittest.TestCase):
    def row(self, contestants, **arguments):
        card = SimpleNamespace(device="cpu", recorder=SimpleNamespace(label="measured"), started="now", uuid="GPU-1", tidy=lambda: None, why_no_joules=lambda: "no counter")
        row = gpu_run.Row(work_named("distilbert-b1-s128"), "fp16", SimpleNamespace(**{"blocks": 2, "min_seconds": 3, "warm_seconds": 0.5, "screen": 1.3, **arguments}), card)
        row.ready = dict(contestants)
        row.records = [{"name": name} for name in contestants]

        def visit(name, *_):
            one = row.ready[name]
            one.passes += 1
            if one.fails_after is not None and one.passes > one.fails_after:
                row.fail(name, RuntimeError("CUDA out of memory"))
                return None
            return 1000 * one.seconds, 500 * one.seconds

        row.visit = visit
        return row

    def quietly(self, row):
        self.enterContext(unittest.mock.patch.object(peers, "say", lambda text: None))
        self.enterContext(unittest.mock.patch.object(gpu_run.traceback, "print_exc", lambda **_: None))
        row.screen_peers()
        row.run_blocks(gpu_run.Budget(None))
        return row.result()

    def test_time_and_energy_ratios_are_best_peer_over_eaq(self):
        result = self.quietly(self.row({"eaq": Stub(0.002), "torch eager": Stub(0.0024), "torch CUDA graph": Stub(0.0022)}))
        self.assertEqual((result["best_peer"], result["best_peer_energy"]), ("torch CUDA graph",) * 2)
        self.assertAlmostEqual(result["time_ratio"]["mean"], 1.1)
        self.assertAlmostEqual(result["energy_ratio"]["mean"], 1.1)
        self.assertAlmostEqual(result["eaq"]["mJ_per_sample"], 1.0)
        self.assertEqual(len(result["blocks"]), 2)

    def test_a_peer_far_behind_is_named_with_its_time_and_visited_once(self):
        slow = Stub(0.009)
        result = self.quietly(self.row({"eaq": Stub(0.002), "torch eager": slow, "torch CUDA graph": Stub(0.0022)}))
        cell = next(cell for cell in result["peers"] if cell["name"] == "torch eager")
        self.assertEqual((slow.passes, cell["ms"], cell["mJ_per_sample"]), (1, 9.0, None))
        self.assertIn("4.09 x", cell["not_visited_again"])

    def test_without_a_screen_all_are_visited(self):
        slow = Stub(0.009)
        self.quietly(self.row({"torch eager": slow, "torch CUDA graph": Stub(0.0022)}, screen=0))
        self.assertEqual(slow.passes, 5)

    def test_who_breaks_is_recorded_and_the_others_go_on(self):
        result = self.quietly(self.row({"eaq": Stub(0.002), "torch compile": Stub(0.001, fails_after=3), "torch CUDA graph": Stub(0.0012)}))
        broken = next(cell for cell in result["peers"] if cell["name"] == "torch compile")
        self.assertIn("out of memory", broken["does_not_count"])
        self.assertIsNone(broken["ms"])
        self.assertEqual(result["best_peer"], "torch CUDA graph")
        self.assertAlmostEqual(result["time_ratio"]["mean"], 0.6)

    def test_missing_joules_are_no_ratio_and_say_why(self):
        ms = [{"eaq": [2.0, 2.0], "torch eager": [3.0, 3.0]}]
        mJ = [{"eaq": [None, None], "torch eager": [1.0, 1.0]}]
        ready = {"eaq": SimpleNamespace(why_no_mJ="no visit gave joules"), "torch eager": SimpleNamespace()}
        card = SimpleNamespace(started="now", uuid="GPU-1", recorder=SimpleNamespace(label="measured"), why_no_joules=lambda: "?")
        row = gpu_result.make_row(work_named("gpt2-decode"), "bf16", [{"name": "eaq"}, {"name": "torch eager"}], ready, ms, mJ, card)
        self.assertIsNone(row["energy_ratio"])
        self.assertEqual(row["energy_unavailable"], "eaq: no visit gave joules")
        self.assertAlmostEqual(row["time_ratio"]["mean"], 1.5)

    def test_a_long_message_keeps_both_ends(self):
        self.assertEqual(gpu_run.shortened(RuntimeError("short\nmore")), "short")
        self.assertRegex(gpu_run.shortened(RuntimeError("begin" + "x" * 900 + "end")), "^begin.* ... .*end$")


class Result(unittest.TestCase):
    def test_new_rows_take_the_place_of_their_like(self):
        row = lambda work, format, seconds: {"work": work, "format": format, "seconds": seconds}
        rows = gpu_result.merged([row("sst2-dev", "fp16", 1), row("gpt2-decode", "bf16", 2)], [row("gpt2-decode", "bf16", 3), row("gpt2-decode", "fp32", 4)])
        self.assertEqual([(r["work"], r["format"], r["seconds"]) for r in rows], [("gpt2-decode", "fp32", 4), ("gpt2-decode", "bf16", 3), ("sst2-dev", "fp16", 1)])

    def test_rows_of_another_card_are_refused(self):
        file = Path(self.enterContext(tempfile.TemporaryDirectory())) / "r.json"
        file.write_text(json.dumps({"schema": "eaq.peers/1", "machine": {"card": "NVIDIA H100"}, "rows": []}))
        self.assertEqual(gpu_result.earlier_rows(file, "NVIDIA H100"), [])
        with self.assertRaisesRegex(ValueError, "two cards"):
            gpu_result.earlier_rows(file, "NVIDIA H200")

    def test_a_result_is_named_after_the_card(self):
        self.assertEqual(gpu_result.file_name("NVIDIA H200"), "peers-gpu-nvidia-h200.json")

    def test_the_table_names_what_was_not_run(self):
        text = gpu_result.table({"rows": [], "not_run": [{"work": "sst2-dev", "format": "fp32", "reason": "no time"}]})
        self.assertIn("sst2-dev             fp32   not run: no time", text)


class Time(unittest.TestCase):
    def test_a_row_that_does_not_fit_is_not_begun(self):
        now = [0.0]
        budget = gpu_run.Budget(2, clock=lambda: now[0])
        self.assertTrue(budget.fits(100))
        now[0] = 90
        self.assertFalse(budget.fits(100))
        self.assertTrue(gpu_run.Budget(None).fits(1e9))

    def test_guesses_learn_from_what_rows_took(self):
        budget = gpu_run.Budget(2, clock=lambda: 0.0)
        budget.note(100, 150)
        self.assertAlmostEqual(budget.scaled(60), 90)
        self.assertTrue(budget.fits(79))
        self.assertFalse(budget.fits(81))

    def test_protocol_original_makes_a_row_shorter(self):
        args = lambda protocol: SimpleNamespace(peers=["graph", "compile"], compile_mode="default", blocks=2, min_seconds=3, warm_seconds=0.5, eaq="eaq", eaq_protocol=protocol, eaq_seconds=1.5)
        self.assertLess(gpu_run.guess_seconds(WORKS[0], args("original")), gpu_run.guess_seconds(WORKS[0], args("blocks")) - 30)

    def test_the_device_chooses_the_run(self):
        self.assertTrue(peers.on_a_card(["--formats", "fp16", "--device", "cuda"]))
        self.assertTrue(peers.on_a_card(["--device=cuda"]))
        self.assertFalse(peers.on_a_card(["--device", "cpu"]))
        self.assertFalse(peers.on_a_card([]))

    def test_a_dry_run_names_its_file(self):
        with self.assertRaises(SystemExit), unittest.mock.patch("sys.stderr"):
            gpu_run.arguments(["--dry-run", "--without-eaq"])
        self.assertTrue(gpu_run.arguments(["--dry-run", "--without-eaq", "--out", "x"]).dry_run)


@unittest.skipUnless(TORCH, "no PyTorch and Transformers here")
class WithTorch(unittest.TestCase):
    """On the processor, with the tiny models: every way to compute gives the reference's answers."""

    @classmethod
    def setUpClass(cls):
        import transformers

        transformers.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()

    def errors(self, name, kinds):
        import torch
        from gpu_works import Answers, Source, batches_of

        torch.set_num_threads(1)
        work, source = tiny(work_named(name)), Source(dry_run=True)
        answers = Answers(work, source, batches_of(work, source.tokenizer(work)), "cpu")
        found = {}
        for kind in kinds:
            one = kind(work, "fp32", source, "cpu", SimpleNamespace(compile_mode="default"))
            one.compile = lambda function: function
            found[kind.name] = one.prepare(answers)
            with one.running():
                one.run_pass()
        return found

    def test_forward(self):
        for name in ("distilbert-b32-s128", "gpt2-b8-s1024"):
            for peer, error in self.errors(name, gpu_run.PEERS["forward"]).items():
                self.assertLess(error, 1e-5, f"{name} {peer}")

    def test_decode(self):
        for peer, error in self.errors("gpt2-decode", gpu_run.PEERS["decode"]).items():
            self.assertLess(error, 1e-5, peer)

    def test_real_lengths_are_all_sentences_once(self):
        from gpu_works import Source, batches_of

        work = work_named("sst2-dev")
        batches = batches_of(work, Source(dry_run=True).tokenizer(work))
        self.assertEqual(sum(len(batch["input_ids"]) for batch in batches), 872)
        widths = [batch["input_ids"].shape[1] for batch in batches]
        self.assertEqual(widths, sorted(widths))
        self.assertTrue(all(width % 8 == 0 for width in widths))


if __name__ == "__main__":
    unittest.main()

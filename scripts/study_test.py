#!/usr/bin/env python3
"""Which build scripts/study makes and runs, with make, nvidia-smi and the programs replaced by some that say what was asked of them."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent

MAKE = """#!/bin/sh
echo "made $2"
[ "$2" != build-cuda ] || [ -z "$NO_CUDA_BUILD" ] || { echo "no network" >&2; exit 2; }
"""
PROGRAM = """#!/bin/sh
if [ "$1" = evaluate ]; then
  [ -z "$NO_MODELS" ] || { echo "eaq: the driver is too old" >&2; exit 4; }
  exit 0
fi
echo "ran ${0#$PWD/} $*"
"""


class Study(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        (self.root / "scripts").mkdir()
        shutil.copy(ROOT / "scripts" / "study", self.root / "scripts")
        self.write("bin/make", MAKE)
        for build in ("release", "cuda"):
            self.write(f"build/{build}/eaq", PROGRAM)

    def write(self, path, text):
        path = self.root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def study(self, *arguments, driver=True, **environment):
        if driver:
            self.write("bin/nvidia-smi", "#!/bin/sh\n")
        elif os.path.exists("/dev/nvidiactl"):
            self.skipTest("this machine has a driver")
        path = f"{self.root / 'bin'}:{os.environ['PATH']}"
        clean = {k: v for k, v in os.environ.items() if k not in ("DEVICE", "MAKEFLAGS", "MFLAGS")}
        result = subprocess.run([self.root / "scripts" / "study", *arguments], capture_output=True, text=True,
                                env={**clean, "PATH": path, **environment})
        self.assertEqual(result.returncode, 0, result.stderr)
        self.said = result.stderr
        return result.stdout.splitlines()

    def test_without_a_driver_the_processor_is_studied_in_silence(self):
        self.assertEqual(self.study("--quiet", driver=False), ["made build", "ran build/release/eaq study --quiet"])
        self.assertEqual(self.said, "")

    def test_a_driver_brings_the_cuda_build_and_one_line(self):
        self.assertEqual(self.study("m", "--seq", "8"), ["made build-cuda", "ran build/cuda/eaq study --device cuda m --seq 8"])
        self.assertIn("make study DEVICE=cpu", self.said)
        self.assertEqual(self.said.count("\n"), 1)

    def test_a_build_that_cannot_be_made_leaves_the_processor(self):
        self.assertEqual(self.study(NO_CUDA_BUILD="1"), ["made build-cuda", "made build", "ran build/release/eaq study"])
        self.assertIn("no network", self.said)
        self.assertIn("going on with the CPU build", self.said)

    def test_a_card_on_which_models_do_not_run_leaves_the_processor(self):
        self.assertEqual(self.study(NO_MODELS="1"), ["made build-cuda", "ran build/cuda/eaq study"])
        self.assertIn("the driver is too old", self.said)

    def test_DEVICE_settles_it(self):
        self.assertEqual(self.study(DEVICE="cpu"), ["made build", "ran build/release/eaq study --device cpu"])
        self.assertEqual(self.study(DEVICE="cuda:1"), ["made build-cuda", "ran build/cuda/eaq study --device cuda:1"])

    def test_a_device_among_the_arguments_goes_before(self):
        self.assertEqual(self.study("--device", "cpu", DEVICE="cuda"), ["made build", "ran build/release/eaq study --device cpu"])
        self.assertEqual(self.study("--device=cuda:1"), ["made build-cuda", "ran build/cuda/eaq study --device=cuda:1"])

    def test_a_repeated_result_keeps_its_device(self):
        self.assertEqual(self.study("--like", "s.json"), ["made build-cuda", "ran build/cuda/eaq study --like s.json"])

    def test_what_was_insisted_on_and_cannot_be_made_is_an_error(self):
        self.write("bin/nvidia-smi", "#!/bin/sh\n")
        environment = {**os.environ, "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}", "DEVICE": "cuda", "NO_CUDA_BUILD": "1"}
        result = subprocess.run([self.root / "scripts" / "study"], capture_output=True, text=True, env=environment)
        self.assertEqual(result.returncode, 2)
        self.assertNotIn("ran", result.stdout)


if __name__ == "__main__":
    unittest.main()

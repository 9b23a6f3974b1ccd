#!/usr/bin/env python3
"""Whether scripts/card_sanitizers notices what fails: python3 scripts/card_sanitizers_test.py (a sanitizer of its own, no card)"""
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

SCRIPT = Path(__file__).resolve().parent / "card_sanitizers"
FAKE = """#!/bin/bash
while [ "${1#--}" != "$1" ]; do
  case $1 in --tool) tool=$2; shift;; --error-exitcode|--kernel-name) shift;; esac
  shift
done
sleep 0.1
echo "========= ERROR SUMMARY: 0 errors"
echo "$tool $(basename "$1") $GTEST_SHARD_INDEX/$GTEST_TOTAL_SHARDS $EAQ_REQUIRE_GPU ${*:2}" >> "$EVERY_CALL"
[ "$NO_TESTS" = "$tool" ] && { echo "[  PASSED  ] 0 tests."; exit 0; }
echo "[  PASSED  ] 3 tests."
[ "$FAILS" = "$tool-$GTEST_SHARD_INDEX" ] && exit 9
exit 0
"""


def run(**environment):
    with tempfile.TemporaryDirectory() as folder:
        fake = Path(folder) / "bin" / "compute-sanitizer"
        fake.parent.mkdir()
        fake.write_text(FAKE)
        fake.chmod(0o755)
        calls = Path(folder) / "calls"
        calls.touch()
        build = Path(folder) / "build"
        build.mkdir()
        plain = build / "backend_test"
        plain.write_text('#!/bin/sh\nexit "${PLAIN:-0}"\n')
        plain.chmod(0o755)
        path = f"{fake.parent}:{os.environ['PATH']}"
        done = subprocess.run([SCRIPT, build], env={**os.environ, "PATH": path, "EVERY_CALL": str(calls), **environment},
                              capture_output=True, text=True, check=False)  # fmt: skip
        return done, calls.read_text().splitlines()


class CardSanitizers(unittest.TestCase):
    def test_every_shard_of_every_tool_is_run_and_waited_for(self):
        done, calls = run()
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(len(calls), len(done.stdout.splitlines()))
        self.assertTrue(all("clean" in line and "3 tests" in line for line in done.stdout.splitlines()), done.stdout)
        self.assertTrue(all(call.split()[3] == "1" for call in calls))  # a card is required
        for tool in ("memcheck", "initcheck", "racecheck"):
            self.assertTrue(any(call.startswith(f"{tool} backend_test") for call in calls), tool)

    def test_one_failing_shard_fails_the_whole_and_is_named(self):
        done, _ = run(FAILS="initcheck-2")
        self.assertEqual(done.returncode, 1)
        self.assertEqual([line.split(":")[0] for line in done.stdout.splitlines() if "FAILED" in line], ["initcheck-2"])

    def test_tests_that_fail_by_themselves_are_not_sanitized(self):
        done, calls = run(PLAIN="1")
        self.assertEqual((done.returncode, calls), (1, []))
        self.assertIn("fails without a sanitizer", done.stdout)

    def test_a_shard_without_tests_is_no_success(self):
        done, _ = run(NO_TESTS="racecheck")
        self.assertEqual(done.returncode, 1)


if __name__ == "__main__":
    unittest.main()

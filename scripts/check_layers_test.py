#!/usr/bin/env python3
"""Breaks each rule of check_layers.py once, in a scratch copy of the tree, and sees it noticed."""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent


class Scratch(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        shutil.copy(ROOT / "CMakeLists.txt", self.root)
        sources = shutil.ignore_patterns("*.json", "*.txt", "*.tsv", "*.safetensors", "testdata")
        shutil.copytree(ROOT / "eaq", self.root / "eaq", ignore=sources)

    def check(self):
        done = subprocess.run([sys.executable, ROOT / "scripts/check_layers.py", self.root], capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    def add(self, path, text):
        file = self.root / "eaq" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text((file.read_text() if file.exists() else "") + text + "\n")

    def expect(self, *words):
        code, said = self.check()
        self.assertEqual(code, 1, said)
        for word in words:
            self.assertIn(word, said)

    def test_an_unbroken_copy_passes(self):
        code, said = self.check()
        self.assertEqual(code, 0, said)

    def test_climbing(self):
        self.add("base/broken.cpp", '#include "eaq/tensor/tensor.h"')
        self.expect("eaq/base/broken.cpp:1: climbs", "'tensor' is on floor 1", "'base' is on floor 0", "lower floor")

    def test_climbing_from_a_test(self):
        self.add("tensor/broken_test.cpp", '#include "eaq/engine/engine.h"')
        self.expect("eaq/tensor/broken_test.cpp:1: climbs")

    def test_climbing_into_the_command_line(self):
        self.add("tensor/broken.cpp", '  #  include "eaq/cli/cli.h"')
        self.expect("climbs", "'cli'")

    def test_meeting_on_one_floor(self):
        self.add("stats/stats.h", "// its front door")
        self.add("stats/broken.cpp", '#include "eaq/tensor/tensor.h"')
        self.expect("eaq/stats/broken.cpp:1: crosses", "folders of one floor never meet")

    def test_going_round_a_front_door(self):
        self.add("tensor/broken.cpp", '#include "eaq/base/units.h"')
        self.expect("goes round a front door", 'instead: "eaq/base/base.h"')

    def test_entering_a_private_room(self):
        self.add("engine/engine.h", "// its front door")
        self.add("engine/broken.cpp", '#include "eaq/tensor/private/room.h"')
        self.expect("a private room of 'tensor'", 'instead: "eaq/tensor/tensor.h"')

    def test_json_in_a_front_door(self):
        self.add("tensor/tensor.h", '#include "eaq/tensor/room.h"')
        self.add("tensor/room.h", '#include "eaq/base/json.h"')
        self.expect('a front door leads to "eaq/base/json.h"')

    def test_json_in_a_private_header_is_allowed(self):
        self.add("tensor/room.h", '#include "eaq/base/json.h"')
        self.assertEqual(self.check()[0], 0)

    def test_json_in_a_source_is_allowed(self):
        self.add("tensor/fine.cpp", '#include "eaq/base/json.h"')
        self.assertEqual(self.check()[0], 0)

    def test_libraries_in_a_front_door(self):
        for library in ("fmt/format.h", "nlohmann/json.hpp", "cuda_runtime.h"):
            with self.subTest(library):
                self.setUp()
                self.add("tensor/tensor.h", f"#include <{library}>")
                self.expect(f"<{library}>", "shows in the front door eaq/tensor/tensor.h")

    def test_a_library_behind_a_front_door_header(self):
        self.add("tensor/inner.h", "#include <fmt/core.h>")
        self.add("tensor/tensor.h", '#include "eaq/tensor/inner.h"')
        self.expect("eaq/tensor/inner.h:1", "(through eaq/tensor/inner.h)")

    def test_json_in_a_cuda_file(self):
        self.add("tensor/broken.cu", "#include <nlohmann/json.hpp>")
        self.expect("is CUDA and includes <nlohmann/json.hpp>")

    def test_asking_for_cuda(self):
        for condition in ("#ifdef EAQ_CUDA", "#if defined(__CUDACC__)", "# ifndef USE_CUDA", "#elif HAS_CUDA > 1"):
            with self.subTest(condition):
                self.setUp()
                self.add("tensor/broken.cpp", condition)
                self.expect("asks the preprocessor about", "requires.cmake")

    def test_a_kernel_may_ask_for_its_architecture(self):
        self.add("tensor/fine.cu", "#if __CUDA_ARCH__ >= 900")
        self.assertEqual(self.check()[0], 0)

    def test_an_include_from_beside(self):
        self.add("tensor/other.h", "")
        self.add("tensor/broken.cpp", '#include "other.h"')
        self.expect('instead: "eaq/tensor/other.h"')

    def test_a_folder_on_no_floor(self):
        self.add("attic/attic.h", "")
        self.expect("eaq/attic: on no floor")

    def test_an_unknown_folder_included(self):
        self.add("tensor/broken.cpp", '#include "eaq/attic/attic.h"')
        self.expect("no floor has a folder 'attic'")

    def test_a_folder_without_a_front_door(self):
        self.add("plan/search.cpp", "")
        (self.root / "eaq/plan/plan.h").unlink(missing_ok=True)
        self.expect("eaq/plan: has no front door")


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
"""What check_types.py must notice, and what it must let pass, on small trees."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parent / "check_types.py"


class Trees(unittest.TestCase):
    def check(self, **files):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, text in files.items():
                file = root / "eaq" / name.replace("_h", ".h").replace("_cpp", ".cpp")
                file.parent.mkdir(exist_ok=True)
                file.write_text(text)
            done = subprocess.run([sys.executable, SCRIPT, root], capture_output=True, text=True)
            return done.returncode, done.stdout + done.stderr

    def expect_twice(self, name, one, other):
        code, said = self.check(one_h=one, other_cpp=other)
        self.assertEqual(code, 1, said)
        self.assertIn(f"{name} is defined in eaq/one.h", said)
        self.assertIn("eaq/other.cpp", said)

    def expect_fine(self, one, other):
        code, said = self.check(one_h=one, other_cpp=other)
        self.assertEqual(code, 0, said)
        return said

    def test_two_structs_of_one_name(self):
        self.expect_twice("eaq::Part", "namespace eaq {\nstruct Part { int a; };\n}", "namespace eaq {\nclass Part final : public X {};\n}")

    def test_lines_are_named_as_they_stand(self):
        _, said = self.check(one_h='#define X { \\\n {\nnamespace eaq {\n/* a\n b */ struct Part {};\n}', other_cpp="namespace eaq { struct Part {}; }")
        self.assertIn("eaq/one.h:5", said)

    def test_enums_and_templates(self):
        self.expect_twice("eaq::E", "namespace eaq { enum class E : int { a }; }", "namespace eaq { enum E { b }; }")
        self.expect_twice("eaq::T", "namespace eaq { template <class U> struct T {}; }", "namespace eaq { struct alignas(8) T {}; }")

    def test_a_nested_namespace_twice(self):
        self.expect_twice("eaq::lab::Part", "namespace eaq::lab { struct Part {}; }", "namespace eaq { namespace lab { struct Part {}; } }")

    def test_a_member_defined_outside(self):
        self.expect_twice("eaq::A::State", "namespace eaq { struct A::State {}; }", "namespace eaq { struct A::State {}; }")

    def test_after_functions_and_after_an_anonymous_namespace(self):
        self.expect_twice("eaq::Part", "namespace eaq { struct Part {}; }",
                          'namespace eaq { namespace { struct Q {}; } int f() { if (1) { g("}"); h(\'}\'); } return 0; } struct Part {}; }')

    def test_other_namespaces_are_other_names(self):
        said = self.expect_fine("namespace eaq::text { struct Part {}; }", "namespace eaq::lab { struct Part {}; }")
        self.assertIn("2 types", said)

    def test_an_anonymous_namespace_is_a_files_own(self):
        self.expect_fine("namespace eaq { struct Part {}; }", "namespace eaq {\nnamespace {\nstruct Part {};\n}\n}")

    def test_types_inside_types_and_functions_are_fine(self):
        self.expect_fine("namespace eaq { struct A { struct Row {}; }; }", "namespace eaq { struct B { struct Row {}; }; void f() { struct Row {}; } }")

    def test_declarations_and_uses_are_no_definitions(self):
        self.expect_fine("namespace eaq { struct Part {}; }", "namespace eaq { struct Part; struct Part make() { return {}; } Part p{1}; }")

    def test_comments_and_strings_are_no_definitions(self):
        self.expect_fine("namespace eaq { struct Part {}; }",
                         'namespace eaq { // struct Part {\n/* struct Part { */ auto a = "struct Part {"; auto b = R"x(struct Part {)" struct Part {)x"; int c = 1\'000; }')

    def test_two_sides_of_a_condition_stand_in_one_file(self):
        self.expect_fine("namespace eaq {\n#if A\nstruct Part {};\n#else\nstruct Part { int a; };\n#endif\n}", "")


if __name__ == "__main__":
    unittest.main()

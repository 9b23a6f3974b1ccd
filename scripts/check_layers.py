#!/usr/bin/env python3
"""Fails where an include climbs a floor of the house or goes round a folder's front door.

usage: scripts/check_layers.py [ROOT]        ROOT: the tree to read, by default the one this script stands in

The floors are EAQ_FLOORS in CMakeLists.txt, from the ground up, with `cli` on top. The rules:
  1. A folder includes only folders on lower floors; folders of one floor never meet.
  2. It enters another folder by its front door alone, eaq/X/X.h. (base and kernel have a second one for .cpp files and a folder's private headers:
     eaq/base/json.h, eaq/kernel/cuda.h.)
  3. Front doors show no CUDA, fmt or nlohmann types, directly or through what they include; nor do they lead to eaq/base/json.h.
  4. .cu and .cuh files include neither fmt nor nlohmann-json: nvcc reads them badly.
  5. No preprocessor condition asks for CUDA: what needs it stands in a folder that is built only where CUDA is.
  6. Includes are written from the root ("eaq/X/..."), every folder of eaq/ is on a floor, and every folder has its front door.
"""

import pathlib
import re
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
CONDITION = re.compile(r"^\s*#\s*(?:if|ifdef|ifndef|elif)\b.*?(\w*(?:CUDA|NVCC)\w*)")
LIBRARIES = {
    "CUDA": re.compile(r"^(cuda|cublas|cudnn|nvml|curand|cooperative_groups|cub/|thrust/|nvtx|cutlass|cute/)"),
    "fmt": re.compile(r"^fmt/"),
    "nlohmann-json": re.compile(r"^nlohmann/"),
}
SECOND_DOORS = {"eaq/base/json.h": "nlohmann-json", "eaq/kernel/cuda.h": "a card's operations"}  # for .cpp files and private headers
# nvcc and host compiler see one .cu file differently; these are the only questions it may ask.
DEVICE_MACROS = {"__CUDA_ARCH__", "__CUDACC__"}
SOURCES = (".h", ".hpp", ".cpp", ".cu", ".cuh")


def read_floors(root):
    """[[folders of the ground floor], ..., ["cli"]], from CMakeLists.txt."""
    text = re.sub(r"#.*", "", (root / "CMakeLists.txt").read_text())
    match = re.search(r"set\(\s*EAQ_FLOORS\s+([^)]*)\)", text)
    if not match:
        sys.exit("check_layers: CMakeLists.txt has no set(EAQ_FLOORS ...)")
    return [floor.strip('"').split(";") for floor in match.group(1).split()] + [["cli"]]


class Check:
    def __init__(self, root):
        self.root = root
        self.floors = read_floors(root)
        self.level = {folder: level for level, floor in enumerate(self.floors) for folder in floor}
        self.problems = []
        self.included = {}  # file -> [(line number, bracket, path)]

    def report(self, file, line, problem, instead):
        self.problems.append(f"{file.relative_to(self.root)}:{line}: {problem}\n    instead: {instead}")

    def floor_of(self, folder):
        level = self.level[folder]
        beside = [other for other in self.floors[level] if other != folder]
        return f"'{folder}' is on floor {level}" + (f" (with {', '.join(beside)})" if beside else "")

    def below(self, folder):
        names = [name for floor in self.floors[: self.level[folder]] for name in floor]
        return f"folders that '{folder}' may include: {', '.join(names) or 'none, it is the ground'}"

    def run(self):
        files = sorted(f for f in (self.root / "eaq").rglob("*") if f.suffix in SOURCES and f.is_file())
        for file in files:
            self.read(file)
        for file in files:
            folder = file.relative_to(self.root / "eaq").parts[0]
            if folder not in self.level or folder == file.name:
                continue  # said once, below
            for line, bracket, path in self.included[file]:
                self.check_include(file, folder, line, bracket, path)
        self.check_folders({f.relative_to(self.root / "eaq").parts[0] for f in files})
        return len(files)

    def read(self, file):
        found = []
        for number, text in enumerate(file.read_text(errors="replace").splitlines(), 1):
            if match := INCLUDE.match(text):
                found.append((number, match.group(1), match.group(2)))
            elif match := CONDITION.match(text):
                name = match.group(1)
                if name in DEVICE_MACROS and file.suffix in (".cu", ".cuh"):
                    continue
                self.report(file, number, f"asks the preprocessor about {name}",
                            "put what needs CUDA into a folder of its own whose requires.cmake sets LEFT_OUT where there is no CUDA; "
                            "the registry then lists it with the reason")
        self.included[file] = found

    def check_include(self, file, folder, line, bracket, path):
        if bracket == '"' and not path.startswith("eaq/") and (file.parent / path).exists():
            inside = (file.parent / path).resolve().relative_to(self.root)
            self.report(file, line, f'includes "{path}" from beside itself', f'"{inside}", so that the floor can be read from the line')
            return
        if not path.startswith("eaq/"):
            if file.suffix in (".cu", ".cuh"):
                for name in ("fmt", "nlohmann-json"):
                    if LIBRARIES[name].match(path):
                        self.report(file, line, f"is CUDA and includes <{path}> ({name})", "format or parse in a .cpp file beside it")
            return
        target = path.split("/")[1]
        if path in SECOND_DOORS and file.suffix not in (".cpp", ".h") and folder != target:
            self.report(file, line, f'a CUDA file includes "{path}"', f"a function declared with own types; {SECOND_DOORS[path]} in its .cpp file")
            return
        if target == folder:
            return
        if target not in self.level:
            self.report(file, line, f'includes "{path}", and no floor has a folder \'{target}\'',
                        "a folder of EAQ_FLOORS in CMakeLists.txt, or add it there on the right floor")
        elif self.level[target] > self.level[folder]:
            self.report(file, line, f'climbs: includes "{path}"; {self.floor_of(target)}, above {self.floor_of(folder)}',
                        f"move what both need to a lower floor, or let '{target}' pass it in (a value, a function, an interface). "
                        + self.below(folder))
        elif self.level[target] == self.level[folder]:
            self.report(file, line, f'crosses: includes "{path}"; {self.floor_of(folder)}, and folders of one floor never meet',
                        f"move what both need to a lower floor, or wire them together higher up. {self.below(folder)}")
        elif path != f"eaq/{target}/{target}.h" and path not in SECOND_DOORS:
            self.report(file, line, f'goes round a front door: includes "{path}", a private room of \'{target}\'',
                        f'"eaq/{target}/{target}.h"; if the name is missing there, declare it there')

    def check_folders(self, folders):
        for folder in sorted(folders):
            door = self.root / "eaq" / folder / f"{folder}.h"
            if folder not in self.level:
                self.problems.append(f"eaq/{folder}: on no floor\n    instead: add it to EAQ_FLOORS in CMakeLists.txt")
            elif door in self.included:
                self.check_door(door)
            elif folder != "cli":
                self.problems.append(f"eaq/{folder}: has no front door\n    instead: write eaq/{folder}/{folder}.h, what others may use")

    def check_door(self, door):
        seen, waiting = set(), [(door, ())]
        while waiting:
            file, way = waiting.pop()
            if file in seen:
                continue
            seen.add(file)
            for line, _, path in self.included.get(file, []):
                for name, library in LIBRARIES.items():
                    if library.match(path):
                        through = f" (through {' -> '.join(way)})" if way else ""
                        self.report(file, line, f"<{path}> ({name}) shows in the front door {door.relative_to(self.root)}{through}",
                                    "declare with own or standard types; include the library in a .cpp file")
                if path in SECOND_DOORS and not path.startswith(f"eaq/{door.parent.name}/"):
                    self.report(file, line, f'a front door leads to "{path}"',
                                f"a function declared with own types; {SECOND_DOORS[path]} in a .cpp file or a private header")
                if path.startswith(f"eaq/{door.parent.name}/"):
                    waiting.append((self.root / path, (*way, path)))


def main(arguments):
    root = pathlib.Path(arguments[0] if arguments else pathlib.Path(__file__).parent.parent).resolve()
    check = Check(root)
    files = check.run()
    for problem in check.problems:
        print(problem, file=sys.stderr)
    if check.problems:
        print(f"check_layers: {len(check.problems)} in {files} files (the floors: EAQ_FLOORS in CMakeLists.txt; why: CONTRIBUTING.md)", file=sys.stderr)
        return 1
    print(f"check_layers: {files} files keep to the {len(check.floors)} floors")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

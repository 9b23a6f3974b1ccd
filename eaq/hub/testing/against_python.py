#!/usr/bin/env python3
"""Holds eaq's cache against huggingface_hub's, both ways, on the hub that HF_ENDPOINT names (hub_server.py --run starts one).

usage: against_python.py EAQ REPOSITORY LOG        LOG: where the hub notes its requests

Each step says what is expected; the first that fails ends it with 1.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

FILES = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}


def eaq(program, *arguments, offline=False, cache):
    environment = os.environ | {"HF_HUB_CACHE": str(cache)} | ({"HF_HUB_OFFLINE": "1"} if offline else {})
    return json.loads(subprocess.run([program, "fetch", *arguments, "--json", "--quiet"], env=environment, stdout=subprocess.PIPE, check=True).stdout)


def bodies(log):
    """How many files were sent, by what the hub noted."""
    lines = [json.loads(line) for line in pathlib.Path(log).read_text().splitlines()]
    return sum(line["method"] == "GET" and "/api/models/" not in line["path"] for line in lines)


def expect(holds, what):
    if not holds:
        sys.exit(f"against_python: {what}: does not hold")
    print(f"against_python: {what}")


def main():
    program, repository, log = sys.argv[1:]
    from huggingface_hub import hf_hub_download, scan_cache_dir, snapshot_download

    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = pathlib.Path(folder) / "ours", pathlib.Path(folder) / "theirs"

        here = eaq(program, repository, cache=ours)
        there = snapshot_download(repository, cache_dir=ours, local_files_only=True)
        expect(there == here["path"], "Python finds offline the snapshot that eaq fetched")
        expect(FILES <= {path.name for path in pathlib.Path(there).iterdir()}, "with its files")
        sent = bodies(log)
        for file in sorted(FILES):
            path = pathlib.Path(hf_hub_download(repository, file, cache_dir=ours))
            expect(path.read_bytes() == (pathlib.Path(here["path"]) / file).read_bytes(), f"Python takes {file} for its own")
        expect(bodies(log) == sent, "and fetches none of them again")
        scan = scan_cache_dir(ours)
        expect(not scan.warnings and [repo.repo_id for repo in scan.repos] == [repository], "Python's scan finds nothing wrong in the cache")
        revision = next(iter(next(iter(scan.repos)).revisions))
        expect(revision.commit_hash == here["commit"] and revision.refs == {"main"}, "and the commit under its ref")

        there = snapshot_download(repository, cache_dir=theirs)
        sent = bodies(log)
        here = eaq(program, repository, cache=theirs, offline=True)
        expect(here["path"] == there and here["from_cache"], "eaq finds offline the snapshot that Python fetched")
        here = eaq(program, repository, cache=theirs)
        expect(here["path"] == there and not any(file["fetched"] for file in here["files"]), "and has nothing to fetch when online")
        expect(bodies(log) <= sent, "by the hub's own count, too")
        expect(eaq(program, repository, cache=theirs)["commit"] == pathlib.Path(there).name, "at the same commit")

        mixed = pathlib.Path(folder) / "mixed"
        hf_hub_download(repository, "model.safetensors", cache_dir=mixed)
        here = eaq(program, repository, cache=mixed)
        fetched = {file["name"] for file in here["files"] if file["fetched"]}
        expect("model.safetensors" not in fetched and "config.json" in fetched, "eaq completes what Python began")


if __name__ == "__main__":
    main()

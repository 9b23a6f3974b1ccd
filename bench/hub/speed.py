#!/usr/bin/env python3
"""How fast `eaq fetch` is beside `curl`, from a hub on the loopback address: the whole command against the whole command, in turns.

usage: bench/hub/speed.py [--megabytes 500] [--rounds 7] [--eaq build/release/eaq]

eaq lists, fetches, hashes and waits until the disk has it; curl fetches one file to the same disk and does nothing else. Prints both medians, their
ratio and eaq's peak memory.
"""

import argparse
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[2]


def repository(folder, megabytes):
    """A model of that size: the embedded GPT-2's configuration, and weights that nobody opens."""
    model = folder / "hub" / "me" / "large"
    shutil.copytree(TOP / "models" / "tiny-gpt2", model)
    block = os.urandom(1 << 20)
    with (model / "model.safetensors").open("wb") as file:
        for _ in range(megabytes * 1_000_000 // len(block) + 1):
            file.write(block)
        file.truncate(megabytes * 1_000_000)


def timed(command, environment):
    """Seconds and peak memory (MB) of a command."""
    begun = time.monotonic()
    child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.monotonic() - begun
    if status != 0:
        sys.exit(f"speed: {command[0]} ended with {os.waitstatus_to_exitcode(status)}")
    return seconds, usage.ru_maxrss * 1024 / 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--eaq", type=pathlib.Path, default=TOP / "build" / "release" / "eaq")
    arguments = parser.parse_args()
    if shutil.which("curl") is None:
        sys.exit("speed: curl is not installed (on Debian: apt-get install curl)")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        repository(folder, arguments.megabytes)
        server = subprocess.Popen([sys.executable, TOP / "eaq/hub/testing/hub_server.py", folder / "hub"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        endpoint = server.stdout.readline().split()[0]
        environment = os.environ | {"HF_ENDPOINT": endpoint, "HF_HUB_CACHE": str(folder / "cache"), "no_proxy": "127.0.0.1"}
        file = f"{endpoint}/me/large/resolve/main/model.safetensors"
        rates, memory = {"eaq": [], "curl": []}, []
        for turn in range(arguments.rounds):
            for who in ("eaq", "curl") if turn % 2 == 0 else ("curl", "eaq"):
                os.sync()  # what the other wrote is not this one's
                if who == "eaq":
                    seconds, peak = timed([arguments.eaq, "fetch", "me/large", "--quiet"], environment)
                    memory.append(peak)
                    shutil.rmtree(folder / "cache")
                else:
                    seconds, _ = timed(["curl", "-sfL", "-o", folder / "file", file], environment)
                    (folder / "file").unlink()
                rates[who].append(arguments.megabytes / seconds)
        server.stdin.close()
        server.wait()
    eaq, curl = statistics.median(rates["eaq"]), statistics.median(rates["curl"])
    print(f"eaq {eaq:.0f} MB/s, curl {curl:.0f} MB/s: {eaq / curl:.2f} of curl's rate; eaq's peak memory {max(memory):.0f} MB")
    print("each round, eaq / curl: " + ", ".join(f"{a / b:.2f}" for a, b in zip(rates["eaq"], rates["curl"], strict=True)))


if __name__ == "__main__":
    main()

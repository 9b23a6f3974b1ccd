"""A visit on a graphics card: passes back to back, timed between synchronised ends, and the joules of the card's own counter.

The counter (NVML's total energy) moves ten times a second, and a look at it takes milliseconds. So a process of its own looks all
the time and tells where it moved; a visit's power is the slope through the edges that fall into it, put back on the counter's
beat first. That is what eaq's own method `counter` does (eaq/measure/window.cpp, lattice.cpp): both sides are measured alike."""
import bisect
import ctypes
import math
import os
import statistics
import subprocess
import sys
import threading
import time

FEWEST_EDGES = 4  # of a slope
POLL_SECONDS = 0.005
BEAT_AROUND = 30.0  # seconds before and after a window whose edges tell its beat
FEWEST_OF_A_BEAT, MOST_SCATTER = 32, 0.15


# --- edges in, watts out

def edges_of(readings):
    """Of readings (seconds, joules) in order, those at which the counter moved. The first tells nothing of when it got there."""
    previous = None
    for time_s, joules in readings:
        if previous is not None and joules != previous:
            yield time_s, joules
        previous = joules


def fit_line(points):
    """Slope and intercept by least squares."""
    n = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    square = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / square
    return slope, mean_y - slope * mean_x


def follows_times_seen(edges, period):
    """1 where values go with the times at which edges were seen, 0 where the counter moves at a beat whenever it is looked at."""
    both = square = 0.0
    for (t0, j0), (t1, j1), (t2, j2), (t3, j3) in zip(edges, edges[1:], edges[2:], edges[3:]):
        before, here, after = j1 - j0, j2 - j1, j3 - j2
        around = (before + after) / 2
        # A load that comes or goes says nothing.
        if round((t3 - t0) / period) != 3 or around <= 0 or abs(here - around) > 0.3 * around or abs(before - after) > 0.3 * around:
            continue
        late = (t2 - t1) - ((t1 - t0) + (t3 - t2)) / 2
        expected = (before + here + after) / 3 / period * late
        both += expected * (here - around)
        square += expected * expected
    return both / square if square > 0 else 1.0


def beat_of(edges):
    """(start, period) of the beat at which the counter moves, or nothing where there is none to trust."""
    if len(edges) < FEWEST_OF_A_BEAT:
        return None
    steps = [b[0] - a[0] for a, b in zip(edges, edges[1:])]
    typical = statistics.median(steps)
    if typical <= 0:
        return None
    points, beat = [(0, edges[0][0])], 0
    for step, (seen, _) in zip(steps, edges[1:]):
        beat += max(1, round(step / typical))
        points.append((beat, seen))
    period, start = fit_line(points)
    scatter = math.sqrt(sum((seen - start - period * beat) ** 2 for beat, seen in points) / (len(points) - 2))
    if period <= 0.5 * typical or scatter > MOST_SCATTER * period or follows_times_seen(edges, period) > 0.5:
        return None
    return start, period


def slope_watts(edges, start, end):
    """Mean power within [start, end]; nothing where the counter moved too seldom in it."""
    times = [seen for seen, _ in edges]
    inside = edges[bisect.bisect_left(times, start):bisect.bisect_right(times, end)]
    if len(inside) < FEWEST_EDGES:
        return None
    beat = beat_of(edges[bisect.bisect_left(times, start - BEAT_AROUND):bisect.bisect_right(times, end + BEAT_AROUND)])
    if beat:
        first, period = beat
        inside = [(first + round((seen - first) / period) * period, joules) for seen, joules in inside]
    if inside[-1][0] <= inside[0][0]:
        return None
    return fit_line(inside)[0]


# --- the counter

class NoCounter(Exception):
    """There is no energy counter here; the message says why."""


class Nvml:
    """One card by its UUID, through the driver's own library."""

    def __init__(self, uuid, library="libnvidia-ml.so.1"):
        try:
            self.library = ctypes.CDLL(library)
        except OSError as error:
            raise NoCounter(str(error)) from error
        self.call("nvmlInit_v2")
        self.card = ctypes.c_void_p()
        self.call("nvmlDeviceGetHandleByUUID", uuid.encode(), ctypes.byref(self.card))

    def call(self, name, *arguments):
        code = getattr(self.library, name)(*arguments)
        if code != 0:
            explain = self.library.nvmlErrorString
            explain.restype = ctypes.c_char_p
            raise NoCounter(f"{name}: {explain(code).decode()}")

    def joules(self):
        value = ctypes.c_ulonglong()
        self.call("nvmlDeviceGetTotalEnergyConsumption", self.card, ctypes.byref(value))
        return value.value / 1000

    def facts(self):
        """What a result should name of the card; what the driver does not tell is left out."""
        facts, text, value = {}, ctypes.create_string_buffer(96), ctypes.c_uint()
        for name, fill, read in (("driver", lambda: self.call("nvmlSystemGetDriverVersion", text, 96), lambda: text.value.decode()),
                                 ("power_limit_W", lambda: self.call("nvmlDeviceGetEnforcedPowerLimit", self.card, ctypes.byref(value)), lambda: value.value / 1000)):
            try:
                fill()
                facts[name] = read()
            except NoCounter:
                pass
        return facts


def look(joules, emit, clock=time.monotonic, sleep=time.sleep, goes_on=lambda: True):
    """Looks at a counter until told to stop, and tells every edge."""

    def readings():
        while goes_on():
            before = clock()
            value = joules()
            yield (before + clock()) / 2, value
            sleep(POLL_SECONDS)

    for seen, value in edges_of(readings()):
        emit(seen, value)


class Recorder:
    """Edges of a card's counter, from a process of its own: a thread here would take turns with what is measured."""

    label = "measured"

    def __init__(self, uuid):
        self.edges, self.error = [], None
        self.process = subprocess.Popen([sys.executable, "-u", __file__, uuid], stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            seen, joules = line.split()
            self.edges.append((float(seen), float(joules)))
        self.error = self.process.stderr.read().strip() or "the process that looks at the counter ended"

    def watts(self, start, end):
        time.sleep(0.05)  # the window's last edge may still be on its way
        return slope_watts(list(self.edges), start, end)

    def why_none(self):
        return self.error or "the energy counter moved too seldom within a visit: lengthen the visits (--min-seconds)"

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.reader.join()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            pipe.close()


class Constant:
    """A made-up power, for a dry run."""

    label = "made up"

    def watts(self, start, end):
        return 100.0

    def why_none(self):
        return "there is always one"

    def close(self):
        pass


# --- visits

def timed_passes(run_pass, synchronize, min_seconds, warm_seconds, clock=time.monotonic):
    """Warm passes, then passes back to back for at least min_seconds with one synchronisation, at their end. (start, end, passes)"""
    run_pass()  # another contestant had the caches, and the clocks may have sunk
    synchronize()
    begun, chunk = clock(), 1
    while True:
        start = clock()
        for _ in range(chunk):
            run_pass()
        synchronize()
        now = clock()
        each = max((now - start) / chunk, 1e-7)
        if now - begun >= warm_seconds:
            break
        chunk = max(1, min(2 * chunk, math.ceil((warm_seconds - (now - begun)) / each)))
    count = max(3, math.ceil(min_seconds / each))
    start = clock()
    for _ in range(count):
        run_pass()
    synchronize()
    return start, clock(), count


def visit(run_pass, synchronize, recorder, min_seconds, warm_seconds, clock=time.monotonic):
    """Seconds and joules of one pass; joules are nothing where the counter did not tell."""
    start, end, count = timed_passes(run_pass, synchronize, min_seconds, warm_seconds, clock)
    watts = recorder.watts(start, end) if recorder else None
    seconds = (end - start) / count
    return seconds, None if watts is None else watts * seconds


def main():
    def go_with_the_starter():
        sys.stdin.read()
        os._exit(0)

    threading.Thread(target=go_with_the_starter, daemon=True).start()
    try:
        look(Nvml(sys.argv[1]).joules, lambda seen, joules: print(f"{seen:.6f} {joules:.3f}", flush=True))
    except NoCounter as error:
        sys.exit(f"nvml: {error}")


if __name__ == "__main__":
    main()

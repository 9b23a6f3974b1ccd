#!/usr/bin/env python3
"""docs/performance.md and its picture, from docs/results/peers-cpu-*.json and rates-cpu-*.json.

usage: bench/peers/performance.py [--check]     --check: exit 1 where the page is not what the files say

A cell's floor is what its processor needs at least (floors.py). Rates are measured within the row's own blocks; where a row has none, those
of a file beside it count, made at another hour, see RATES_BY.
"""
import json
import sys
from pathlib import Path

from floors import bounding_rate, floor_ms, operations

ROOT = Path(__file__).resolve().parent.parent.parent
RESULTS, PAGE, PICTURE = ROOT / "docs" / "results", ROOT / "docs" / "performance.md", ROOT / "docs" / "performance.svg"

RATES_BY = ("EAQ_BENCH_THREADS=N build/release/format_bench --benchmark_filter='^(fp32|bf16|int8)/(128|4096)/|^fp32/1/768x50257' --benchmark_format=json",
            "build/release/kernel_bench --benchmark_filter=read_memory --benchmark_format=json")

LEAST_BOUND, LARGEST_HALF_WIDTH = 0.98, 0.02  # of a ratio that is to be relied on


def counted(row):
    """What a floor measured in the row is to be multiplied by: rows that do not say what they counted had the last layer whole."""
    least = operations(row["work"])
    return 1 if least is None or "operations" in row["floor"] else least / operations(row["work"], spares=False)


def cells_of(result, rates):
    """(work, format, threads, eaq's ms or None, its share of the floor as {mean, ci95, beside: measured in the row} or None, row) of every row."""
    for row in result["rows"]:
        work, format, ms = row["work"], row["format"], row["eaq"] and row["eaq"]["ms"]
        share, rate = (row.get("floor") or {}).get("share"), rates.get(str(row["threads"]), {}).get(bounding_rate(work, format))
        if share:
            part = counted(row)
            share = {"mean": part * share["mean"], "ci95": share["ci95"] and [part * end for end in share["ci95"]], "beside": True}
        elif ms and rate:
            share = {"mean": floor_ms(work, format, rate) / ms, "ci95": None, "beside": False}
        yield work, format, row["threads"], ms, share, row


def percent(share):
    """Where it was measured beside eaq half of the interval stands behind it; one block has none."""
    return f"{100 * share['mean']:.0f} %" + (f" ±{50 * (share['ci95'][1] - share['ci95'][0]):.0f}" if share["ci95"] else " (one block)" if share["beside"] else "")


def number(x):
    return f"{x:.3g}" if x < 100 else f"{x:.0f}"


def table(result, rates):
    lines = ["| work | format | threads | eaq, ms | best of the others, ms | ratio [95 %] | floor, ms | share of it | program |",
             "| --- | --- | ---: | ---: | --- | --- | ---: | ---: | --- |"]
    for work, kind, threads, ms, share, row in cells_of(result, rates):
        best = next((peer for peer in row["peers"] if peer["name"] == row["best_peer"]), None)
        ratio = row["time_ratio"]
        interval = f" [{ratio['ci95'][0]:.2f}, {ratio['ci95'][1]:.2f}]" if ratio and ratio["ci95"] else ""
        interval += "" if relied_on(ratio) else " *"
        own = time(row["eaq"]) if ms else (row["eaq"] or {}).get("does_not_count", "-")
        lines.append(f"| {work} | {kind} | {threads} | {own} | {time(best) + ' ' + best['name'] if best else '-'} | "
                     f"{format(ratio['mean'], '.2f') + interval if ratio else '-'} | {number(share['mean'] * ms) if share else '-'} | {percent(share) if share else '-'} | {commit_of(row)} |")
    return "\n".join(lines)


def relied_on(ratio):
    """Whether a ratio's lower bound and half-width are such that it says that eaq is not behind."""
    return bool(ratio and ratio["ci95"]) and ratio["ci95"][0] >= LEAST_BOUND and half_width(ratio) <= LARGEST_HALF_WIDTH


def half_width(ratio):
    return (ratio["ci95"][1] - ratio["ci95"][0]) / 2 / ratio["mean"]


def commit_of(row):
    """Of "eaq 0.1.0 (5d327e327d99)" what tells the program's commit."""
    version = (row["eaq"] or {}).get("version", "")
    commit, _, dirty = version.partition("(")[2].rstrip(")").partition("-")
    return (commit[:7] + ("+" if dirty else "")) or "-"


def counts(result):
    """How many of the rows can be relied on, and why the others cannot."""
    ratios = [row["time_ratio"] for row in result["rows"]]
    known = [ratio for ratio in ratios if ratio and ratio["ci95"]]
    behind, wide = sum(ratio["ci95"][0] < LEAST_BOUND for ratio in known), sum(half_width(ratio) > LARGEST_HALF_WIDTH for ratio in known)
    words = [f"{sum(map(relied_on, ratios))} of {len(ratios)} rows have a lower bound of at least {LEAST_BOUND} and a half-width of at most "
             f"{100 * LARGEST_HALF_WIDTH:.0f} %"]
    words += [f"{behind} a lower bound below that"] if behind else []
    words += [f"{wide} a wider interval (marked *)"] if wide else []
    return "; ".join(words) + "."


def padded(result):
    """SST-2 at its own lengths beside the fastest of the others that pads to 128, which is seen in one short visit."""
    said = []
    for row in result["rows"]:
        others = [peer["ms"] for peer in row["peers"] if peer["name"].endswith("padded to 128") and peer["ms"]]
        if row["work"] == "sst2-dev" and others and row["eaq"] and row["eaq"]["ms"]:
            said.append(f"{row['format']}, {threads_of(row['threads'])}: {min(others) / row['eaq']['ms']:.1f}")
    return f"SST-2 at its own lengths takes less than the fastest of the others padded to 128 by a factor of (one visit of it) {'; '.join(said)}." if said else ""


def threads_of(count):
    return f"{count} thread{'s' if int(count) != 1 else ''}"


def scaling(result):
    """Times at the fewest threads over those at more: eaq's and the best of the others', whichever that is at each count."""
    by_cell = {}
    for row in result["rows"]:
        best = next((peer["ms"] for peer in row["peers"] if peer["name"] == row["best_peer"]), None)
        if row["eaq"] and row["eaq"]["ms"]:
            by_cell.setdefault((row["work"], row["format"]), {})[row["threads"]] = (row["eaq"]["ms"], best)
    counts_of_threads = sorted({row["threads"] for row in result["rows"]})
    if len(counts_of_threads) < 2:
        return ""
    few, more = counts_of_threads[0], counts_of_threads[1:]
    lines = [f"| from {threads_of(few)} to | " + " | ".join(f"{count}: eaq | best of the others" for count in more) + " |",
             "| --- |" + " ---: | ---: |" * len(more)]
    for (work, kind), at in by_cell.items():
        if few not in at or len(at) < 2:
            continue
        cells = []
        for count in more:
            ratios = [a / b if a and b else None for a, b in zip(at[few], at[count])] if count in at else [None, None]
            cells += [f"{ratio:.2f}x" if ratio else "-" for ratio in ratios]
        lines.append(f"| {work} {kind} | " + " | ".join(cells) + " |")
    return "\n".join(lines) if len(lines) > 2 else ""


def time(cell):
    """A contestant's milliseconds, with half of its 95 % interval where it has one."""
    interval = cell.get("ms_ci95")
    return number(cell["ms"]) + (f" ±{(interval[1] - interval[0]) / 2:.2g}" if interval else "")


def title_of(result):
    machine = result["machine"]
    return f"{machine['model_name']}, family {machine['family']}, model {machine['model']}, {machine['instructions']}, {machine['cores']} cores"


def picture(found):
    """Bars, one a cell that has a floor: the share reached, and a mark where the best of the others stands."""
    bars = [(title, f"{work} {format}, {threads} thread{'s' if threads != 1 else ''}", share["mean"], share["mean"] * ms / best if best else None)
            for title, cells in found for work, format, threads, ms, share, best in cells if share]
    height, left, width, top = 18, 290, 420, 34
    out, y, last = [], top, None
    for title, label, share, other in bars:
        if title != last:
            out.append(f'<text x="8" y="{y + 13}" font-weight="bold">{title}</text>')
            y, last = y + height + 4, title
        out.append(f'<text x="{left - 6}" y="{y + 13}" text-anchor="end">{label}</text>')
        out.append(f'<rect x="{left}" y="{y + 2}" width="{width * min(share, 1.2):.0f}" height="{height - 5}" fill="#3b7dd8"/>')
        if other:
            out.append(f'<rect x="{left + width * min(other, 1.2) - 1:.0f}" y="{y}" width="3" height="{height - 1}" fill="#d8703b"/>')
        out.append(f'<text x="{left + width * min(max(share, other or 0), 1.2) + 6:.0f}" y="{y + 13}">{100 * share:.0f} %</text>')
        y += height
    grid = [f'<line x1="{left + width * part:.0f}" x2="{left + width * part:.0f}" y1="{top - 6}" y2="{y}" stroke="#8888" stroke-dasharray="2 3"/>'
            f'<text x="{left + width * part:.0f}" y="{top - 10}" text-anchor="middle">{100 * part:.0f} %</text>' for part in (0.25, 0.5, 0.8, 1.0)]
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="870" height="{y + 12}" font-family="sans-serif" font-size="12" role="img" '
            f'aria-label="Share of the floor that eaq reaches in each cell; a mark shows the best of the others">'
            f'<rect width="100%" height="100%" fill="white"/>' + "".join(grid + out) + "</svg>\n")


def page(results):
    parts = ["# How fast on a processor, beside others", "",
             "Drawn by `bench/peers/performance.py` from the files named below; nothing here is written by hand. How it is measured: "
             "[bench/peers](../bench/peers/README.md). A ratio above 1 says that eaq is ahead. The floor: the operations of products and attention that the "
             "answer needs (of the last layer, where one token is asked for, keys and values of all tokens and the rest of that one; eaq leaves the rest out, "
             "an eighth of DistilBERT's, the others do not), over the rate of our own products at the models' own shapes with many rows, or for decoding the "
             "weights' bytes over the rate of a plain read of memory, at that count of threads. So it is no bound of physics: a product that finds its rows in a "
             "cache, or a read that asks further ahead, passes 100 %.", "",
             "![Share of the floor by cell](performance.svg)", "",
             "Blue: eaq's share of the floor. The orange mark: that of the fastest of the others. A share with an interval comes from rates measured in turn with eaq, "
             "in the same blocks; one without from rates of another hour, when the machine, which others use too, may have been slower. A program's commit "
             "with a + had changes besides.", ""]
    for path, result, rates in results:
        parts += [f"## {title_of(result)}", "", f"[{path.name}](results/{path.name}); `{' '.join(result['command'])}`. "
                  f"Load before and after: {result['machine']['load_before']:.1f}, {result['machine']['load_after']:.1f}.", "", table(result, rates), "", counts(result), ""]
        parts += [text for more in (padded(result), scaling(result)) if more for text in (more, "")]
        if rates:
            parts += ["Rates: " + "; ".join(f"{threads_of(threads)}: fp32 {rate['fp32_GFLOPs']:.0f}, bf16 {rate['bf16_GFLOPs']:.0f} GFLOP/s, "
                                            f"int8 {rate['int8_GFLOPs']:.0f} G operations/s, memory {rate['read_GBps']:.1f} GB/s" for threads, rate in rates.items()) + ".", ""]
    parts += ["Rates of another hour are measured by", "", *(f"    {command}" for command in RATES_BY), ""]
    return "\n".join(parts)


def main():
    results = []
    for path in sorted(RESULTS.glob("peers-cpu-*.json")):
        rates = RESULTS / path.name.replace("peers-", "rates-")
        results.append((path, json.loads(path.read_text()), json.loads(rates.read_text()) if rates.exists() else {}))
    found = []
    for _, result, rates in results:
        cells = []
        for work, format, threads, ms, share, row in cells_of(result, rates):
            best = next((peer["ms"] for peer in row["peers"] if peer["name"] == row["best_peer"]), None)
            cells.append((work, format, threads, ms, share, best))
        found.append((title_of(result), cells))
    wanted = {PAGE: page(results), PICTURE: picture(found)}
    if "--check" in sys.argv[1:]:
        stale = [path.name for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
        if stale:
            print(f"{', '.join(stale)}: not what docs/results says; run bench/peers/performance.py", file=sys.stderr)
        return 1 if stale else 0
    for path, text in wanted.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

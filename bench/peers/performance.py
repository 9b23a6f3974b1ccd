#!/usr/bin/env python3
"""docs/performance.md and its picture, from docs/results/peers-cpu-*.json and rates-cpu-*.json.

usage: bench/peers/performance.py [--check]     --check: exit 1 where the page is not what the files say

A cell's floor is what its processor needs at least (floors.py). Rates are measured within the row's own blocks; where a row has none, those
of a file beside it count, made at another hour, see RATES_BY.
"""
import json
import sys
from pathlib import Path

from floors import bounding_rate, floor_ms

ROOT = Path(__file__).resolve().parent.parent.parent
RESULTS, PAGE, PICTURE = ROOT / "docs" / "results", ROOT / "docs" / "performance.md", ROOT / "docs" / "performance.svg"

RATES_BY = ("EAQ_BENCH_THREADS=N build/release/format_bench --benchmark_filter='^(fp32|bf16|int8)/(128|4096)/|^fp32/1/768x50257' --benchmark_format=json",
            "build/release/kernel_bench --benchmark_filter=read_memory --benchmark_format=json")

def cells_of(result, rates):
    """(work, format, threads, eaq's ms or None, its share of the floor as {mean, ci95, beside: measured in the row} or None, row) of every row."""
    for row in result["rows"]:
        work, format, ms = row["work"], row["format"], row["eaq"] and row["eaq"]["ms"]
        share, rate = (row.get("floor") or {}).get("share"), rates.get(str(row["threads"]), {}).get(bounding_rate(work, format))
        if share:
            share = {**share, "beside": True}
        elif ms and rate:
            share = {"mean": floor_ms(work, format, rate) / ms, "ci95": None, "beside": False}
        yield work, format, row["threads"], ms, share, row


def percent(share):
    """Where it was measured beside eaq half of the interval stands behind it; one block has none."""
    return f"{100 * share['mean']:.0f} %" + (f" ±{50 * (share['ci95'][1] - share['ci95'][0]):.0f}" if share["ci95"] else " (one block)" if share["beside"] else "")


def number(x):
    return f"{x:.3g}" if x < 100 else f"{x:.0f}"


def table(result, rates):
    lines = ["| work | format | threads | eaq, ms | best of the others, ms | ratio [95 %] | floor, ms | share of it |", "| --- | --- | ---: | ---: | --- | --- | ---: | ---: |"]
    for work, kind, threads, ms, share, row in cells_of(result, rates):
        best = next((peer for peer in row["peers"] if peer["name"] == row["best_peer"]), None)
        ratio = row["time_ratio"]
        interval = f" [{ratio['ci95'][0]:.2f}, {ratio['ci95'][1]:.2f}]" if ratio and ratio["ci95"] else ""
        own = time(row["eaq"]) if ms else (row["eaq"] or {}).get("does_not_count", "-")
        lines.append(f"| {work} | {kind} | {threads} | {own} | {time(best) + ' ' + best['name'] if best else '-'} | "
                     f"{format(ratio['mean'], '.2f') + interval if ratio else '-'} | {number(share['mean'] * ms) if share else '-'} | {percent(share) if share else '-'} |")
    return "\n".join(lines)


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
             "[bench/peers](../bench/peers/README.md). A ratio above 1 says that eaq is ahead. The floor is what the processor needs at least: operations "
             "over the rate of products at a large shape, or for decoding the weights' bytes over what the memory gives, at that count of threads.", "",
             "![Share of the floor by cell](performance.svg)", "",
             "Blue: eaq's share of the floor. The orange mark: that of the fastest of the others. A share with an interval comes from rates measured in turn with eaq, "
             "in the same blocks; one without from rates of another hour: above 100 % the machine, which others use too, was slower then.", ""]
    for path, result, rates in results:
        parts += [f"## {title_of(result)}", "", f"[{path.name}](results/{path.name}); `{' '.join(result['command'])}`. "
                  f"Load before and after: {result['machine']['load_before']:.1f}, {result['machine']['load_after']:.1f}.", "", table(result, rates), ""]
        if rates:
            parts += ["Rates: " + "; ".join(f"{threads} thread{'s' if threads != '1' else ''}: fp32 {rate['fp32_GFLOPs']:.0f}, bf16 {rate['bf16_GFLOPs']:.0f} GFLOP/s, "
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

"""Rows and their table; and rows of an earlier run beside new ones."""
from floors import operations
from statistics_of_blocks import ratio, time_of
from works import WORKS


def key(row):
    return row["work"], row["format"], row["threads"]


def make_row(work, format, threads, records, screened, blocks, kernels=None):
    """A cell's `ms` comes from the blocks, with its interval; who was screened only has that one visit's and says so."""
    row = {"work": work.name, "format": format, "threads": threads, "eaq": None, "peers": [], "time_ratio": None, "energy_ratio": None,
           "energy_unavailable": "times only: this comparison reads no energy meter", "best_peer": None, "floor": None,
           "ms_per": "token" if work.phase == "decode" else "sentence" if work.whole_set else "batch", "blocks": blocks}
    for record in records:
        cell = {**record, "ms": None, "mJ_per_sample": None}
        if blocks and record["name"] in blocks[0]:
            time_ms = time_of(blocks, record["name"])
            cell.update(ms=time_ms["mean"], ms_ci95=time_ms["ci95"])
        elif record["name"] in screened:
            cell.update(ms=screened[record["name"]], screened=True)
        if record["name"] == "eaq":
            cell["kernels"] = kernels
            row["eaq"] = cell
        else:
            row["peers"].append(cell)
    if blocks and "floor" in blocks[0]:
        floor = time_of(blocks, "floor")
        row["floor"] = {"operations": operations(row["work"]), "ms": floor["mean"], "ms_ci95": floor["ci95"], "share": ratio(blocks, "floor", "eaq") if "eaq" in blocks[0] else None}
    timed = [cell for cell in row["peers"] if cell["ms"] is not None and "does_not_count" not in cell]
    in_blocks = [cell for cell in timed if not cell.get("screened")] or timed
    if in_blocks:
        row["best_peer"] = min(in_blocks, key=lambda cell: cell["ms"])["name"]
        if blocks and {"eaq", row["best_peer"]} <= set(blocks[0]):
            row["time_ratio"] = ratio(blocks, row["best_peer"], "eaq")
    return row


def earlier_rows(result, machine):
    """Of the same processor; rows from before threads had rows of their own carry that result's count."""
    other = [name for name in ("model_name", "family", "model", "instructions") if result["machine"].get(name) != machine[name]]
    if other:
        raise SystemExit(f"--merge: that result is of another processor ({', '.join(str(result['machine'].get(name)) for name in other)})")
    threads = result["machine"]["threads"]
    return [{**row, "threads": row.get("threads", threads)} for row in result["rows"]]


def merged(result, kept):
    """New rows, and the earlier ones that were not run again, in the order of works and formats; machine.threads names all counts."""
    new = {key(row) for row in result["rows"]}
    works = [work.name for work in WORKS]
    formats = ["fp32", "bf16", "fp16", "int8", "int8+head"]
    rows = result["rows"] + [row for row in kept if key(row) not in new]
    rows.sort(key=lambda row: (works.index(row["work"]), formats.index(row["format"]), -row["threads"]))
    machine = {**result["machine"], "threads": sorted({row["threads"] for row in rows} | set(result["machine"]["threads"]))}
    return {**result, "machine": machine, "rows": rows}


def table(result):
    lines = [f"{'work':20} {'format':10} {'threads':>7} {'eaq ms':>10} {'best peer ms':>14}  ratio (above 1: eaq is ahead)"]
    for row in result["rows"]:
        eaq = row["eaq"] and row["eaq"]["ms"]
        best = next((cell for cell in row["peers"] if cell["name"] == row["best_peer"]), None)
        found = row["time_ratio"]
        interval = f" [{found['ci95'][0]:.3f}, {found['ci95'][1]:.3f}]" if found and found["ci95"] else ""
        lines.append(f"{row['work']:20} {row['format']:10} {row['threads']:7} {f'{eaq:.3f}' if eaq else '-':>10} {best['ms'] if best else float('nan'):14.3f}  "
                     + (f"{found['mean']:.3f}{interval}" if found else "-") + (f"  {best['name']}" if best else ""))
    return "\n".join(lines)

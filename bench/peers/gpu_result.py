"""Visits in, rows out: what a result on a graphics card holds, how rows of two runs meet, and the table on the screen."""
import json

import peers
from gpu_works import FORMATS, WORKS, unit_of
from statistics_of_blocks import ratio, time_of


def whole(blocks, names):
    """Blocks in which all of these have every value."""
    return [block for block in blocks if all(block.get(name) and None not in block[name] for name in names)]


def make_row(work, format, records, ready, ms, mJ, card):
    row = peers.make_row(work, format, records, ready, ms)
    row.update(unit_of(work), blocks_mJ=mJ, best_peer_energy=None, started=card.started, uuid=card.uuid, energy_label=card.recorder.label if card.recorder else None)
    del row["energy_unavailable"]
    why = {}
    for cell in ([row["eaq"]] if row["eaq"] else []) + row["peers"]:
        if cell["ms"] is None and "ms_of_one_visit" in cell:
            cell["ms"] = cell.pop("ms_of_one_visit")
        if cell["name"] not in ready:
            continue
        blocks = whole(mJ, [cell["name"]])
        if blocks:
            energy = time_of(blocks, cell["name"])
            cell.update(mJ_per_sample=energy["mean"], mJ_ci95=energy["ci95"])
        else:
            why[cell["name"]] = getattr(ready[cell["name"]], "why_no_mJ", None) or card.why_no_joules()
    measured = [cell for cell in row["peers"] if cell["mJ_per_sample"] is not None]
    if measured:
        row["best_peer_energy"] = min(measured, key=lambda cell: cell["mJ_per_sample"])["name"]
        both = whole(mJ, [row["best_peer_energy"], "eaq"])
        if both:
            row["energy_ratio"] = ratio(both, row["best_peer_energy"], "eaq")
    if row["energy_ratio"] is None:
        row["energy_unavailable"] = "; ".join(f"{name}: {reason}" for name, reason in why.items()) or "one side alone was measured"
    return row


def merged(earlier, rows):
    """Rows of an earlier result, with those measured now in place of their like."""
    now = {(row["work"], row["format"]) for row in rows}
    order = {work.name: place for place, work in enumerate(WORKS)}
    kept = [row for row in earlier if (row["work"], row["format"]) not in now]
    return sorted(kept + rows, key=lambda row: (order.get(row["work"], 99), FORMATS.index(row["format"]) if row["format"] in FORMATS else 99))


def earlier_rows(path, card_name):
    result = json.loads(path.read_text())
    if result.get("schema") != "eaq.peers/1" or result["machine"].get("card") != card_name:
        raise ValueError(f"{path}: a result of {result.get('machine', {}).get('card', 'no card')}, not of {card_name}: rows of two cards do not go into one file")
    return result["rows"]


def file_name(card):
    return "peers-gpu-" + "-".join("".join(c if c.isalnum() else " " for c in card.lower()).split()) + ".json"


def table(result):
    lines = [f"{'work':20} {'format':6} {'eaq ms':>9} {'peer ms':>9}  {'time ratio':24} {'eaq mJ':>9} {'peer mJ':>9}  {'energy ratio':24} best peer (above 1: eaq is ahead)"]
    number = lambda value: "-" if value is None else f"{value:.4g}"
    for row in result["rows"]:
        cells = {cell["name"]: cell for cell in row["peers"]}
        best, least = cells.get(row["best_peer"], {}), cells.get(row["best_peer_energy"], {})
        eaq = row["eaq"] or {}
        lines.append(f"{row['work']:20} {row['format']:6} {number(eaq.get('ms')):>9} {number(best.get('ms')):>9}  {interval(row['time_ratio']):24} "
                     f"{number(eaq.get('mJ_per_sample')):>9} {number(least.get('mJ_per_sample')):>9}  {interval(row['energy_ratio']):24} {row['best_peer'] or '-'}")
    lines += [f"{row['work']:20} {row['format']:6} not run: {row['reason']}" for row in result["not_run"]]
    return "\n".join(lines)


def interval(value):
    if not value:
        return "-"
    return f"{value['mean']:.3f}" + (f" [{value['ci95'][0]:.3f}, {value['ci95'][1]:.3f}]" if value["ci95"] else "")

"""What was measured, as one JSON document, and that document as a table for a terminal or in Markdown."""

from __future__ import annotations

from typing import Any

import numpy as np

from audioinceptionnext.benchmark.measurement import Bench, Measured

NOTES = (
    "ms: medians of all calls, and the quarter and three quarters of them; a call takes a numpy array of log-mels and "
    "gives one of logits. peak MB: most resident memory of the row's process since its start, interpreter, libraries, "
    "loading and compiling included, batch 1. same top-1 and largest difference: of logits, against the same network "
    "as trained in float32."
)


def document(bench: Bench, batches: tuple[int, ...], details: dict[str, Any], machine: str) -> dict[str, Any]:
    """The object that ``ainext benchmark --json`` prints. Ratios are to the first row that was timed."""
    timed = bench.timed
    return {
        "machine": machine,
        "details": details,
        "threads": len(details["cores_used"]),
        "rounds": bench.rounds_done,
        "batches": list(batches),
        "ratio_to": timed[0].row.name if timed else None,
        "notes": NOTES,
        "rows": [_row(found, timed[0], batches) for found in timed],
        "skipped": [{"name": s.name, "reason": s.reason, "failed": s.failed} for s in bench.skipped],
    }


def _row(found: Measured, first: Measured, batches: tuple[int, ...]) -> dict[str, Any]:
    by_batch = {str(batch): _timings(found, batch) for batch in batches if batch in found.nanoseconds}
    one = by_batch[str(batches[0])]
    values: dict[str, Any] = {
        "number": found.number,
        "name": found.row.name,
        "network": found.subject.source,
        "engine": found.row.engine,
        "precision": found.row.precision,
        "device": found.row.device,
        "parameters": found.parameters,
        "gmac": found.macs / 1e9,
        "clip_seconds": found.subject.clip_seconds,
        "ms_per_clip": one["ms_per_clip"],
        "spread": one["spread"],
        "batches": by_batch,
        "realtime_factor": found.subject.clip_seconds * 1000 / one["ms_per_clip"],
        "peak_rss_mb": one["peak_rss_mb"],
        "ready_s": found.ready_s,
        "file_mb": found.file_bytes / 1e6,
        "gflops": 2 * found.macs / one["ms_per_clip"] / 1e6,
        "agreement": agreement(found.logits, found.reference),
        "ratio": _ratio(first, found, batches[0]),
        "ratio_spread": _ratio_spread(first, found, batches[0]),
    }
    if found.peak_gpu is not None:
        values["peak_gpu_mb"] = found.peak_gpu / 1e6
    return values | found.accuracy


def _timings(found: Measured, batch: int) -> dict[str, Any]:
    taken = found.milliseconds(batch)
    return {
        "ms_per_clip": float(np.median(taken)),
        "spread": [float(value) for value in np.percentile(taken, (25, 75))],
        "calls": len(taken),
        "peak_rss_mb": found.peak_rss[batch] / 1e6,
    }


def _ratio(first: Measured, found: Measured, batch: int) -> float:
    return float(np.median(first.milliseconds(batch)) / np.median(found.milliseconds(batch)))


def _ratio_spread(first: Measured, found: Measured, batch: int) -> list[float]:
    """A quarter and three quarters of the ratios of the rounds, which a machine that slows down changes less."""
    pairs = [a / b for a, b in zip(first.rounds(batch), found.rounds(batch), strict=False)]
    return [float(value) for value in np.percentile(pairs, (25, 75))]


def agreement(logits: np.ndarray, reference: np.ndarray) -> dict[str, Any]:
    """Of logits (inputs, classes) with those of the network as trained, in float32.

    Returns:
        ``top1``, % of the inputs that both give to the same class; ``largest_difference`` of any logit, and
        ``relative``, the same as a share of the largest logit.
    """
    difference = float(np.abs(logits - reference).max())
    return {
        "inputs": len(reference),
        "top1": 100 * float((logits.argmax(1) == reference.argmax(1)).mean()),
        "largest_difference": difference,
        "relative": difference / max(float(np.abs(reference).max()), 1e-12),
    }


def rounded(value: Any) -> Any:
    """For JSON: six digits that count."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def cells(found: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """A document's header and rows, as text."""
    batches = [str(batch) for batch in found["batches"]]
    header = ["", "row", "parameters", "GMAC"]
    header += ["ms", "25-75 %", *(f"ms of {batch}" for batch in batches[1:]), "x real time", "peak MB"]
    header += ["same top-1", "largest difference", "ratio"]
    accuracy = any("accuracy" in row for row in found["rows"])
    header += ["top-1"] if accuracy else []
    lines = []
    for row in found["rows"]:
        agrees = row["agreement"]
        line = [str(row["number"]), row["name"], f"{row['parameters'] / 1e6:.2f} M", f"{row['gmac']:.3f}"]
        line += [_ms(row["ms_per_clip"]), "-".join(map(_ms, row["spread"]))]
        line += [_ms(row["batches"][batch]["ms_per_clip"]) if batch in row["batches"] else "" for batch in batches[1:]]
        line += [f"{row['realtime_factor']:.0f}", f"{row['peak_rss_mb']:.0f}"]
        line += [f"{agrees['top1']:.1f} %", f"{agrees['largest_difference']:.1g}", f"{row['ratio']:.2f}"]
        line += [f"{row['accuracy']:.1f} %" if "accuracy" in row else ""] if accuracy else []
        lines.append(line)
    return header, lines


def _ms(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def markdown(found: dict[str, Any]) -> str:
    """The machine, the table, and what was skipped."""
    header, lines = cells(found)
    table = [header, ["---", "---", *["---:"] * (len(header) - 2)], *lines]
    text = [f"Measured on {found['machine']}.", title(found), ""]
    text += ["| " + " | ".join(line) + " |" for line in table]
    text += ["", found["notes"]]
    text += [f"Skipped: {skipped['name']} ({skipped['reason']})" for skipped in found["skipped"]]
    return "\n".join(text)


def print_table(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    console.print(f"[bold]{title(found)}[/bold]")
    console.print(found["machine"], style="dim", soft_wrap=True)
    header, lines = cells(found)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for index, name in enumerate(header):
        table.add_column(name, justify="left" if index == 1 else "right", no_wrap=index != 1)
    for line in lines:
        table.add_row(*line)
    # In a pipe a table is as wide as it is, not cut to a terminal that nobody looks at.
    wide = console if console.is_terminal else Console(highlight=False, width=200)
    wide.print(table)
    console.print(found["notes"], style="dim")


def title(found: dict[str, Any]) -> str:
    if not found["rows"]:
        return "Nothing was measured."
    clips = sorted({row["clip_seconds"] for row in found["rows"]})
    seconds = " and ".join(f"{value:g}" for value in clips)
    return f"Clips of {seconds} s, batch {found['batches'][0]}, {threads(found)}, {found['rounds']} interleaved rounds."


def threads(found: dict[str, Any]) -> str:
    return f"{found['threads']} CPU thread" + ("s" if found["threads"] > 1 else "")

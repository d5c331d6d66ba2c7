"""What was measured, as one JSON document, and that document as a table for a terminal or in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from audioinceptionnext.benchmark.measurement import Bench, Measured

NOTES = (
    "ms: the median of all calls, with their quartiles; a call takes a numpy array of log-mels and returns one of "
    "logits. peak MB: the peak resident memory of the row's process since its start, with interpreter, libraries, "
    "loading and compiling, at the first batch size. same top-1 and largest difference: of the logits, compared with "
    "the same network as trained, in float32."
)


def document(bench: Bench, batch_sizes: tuple[int, ...], details: dict[str, Any], machine: str) -> dict[str, Any]:
    """The JSON object that ``ainext benchmark`` prints. Ratios are to the first row that was timed.

    Args:
        bench: after its last round.
        batch_sizes: the first one gives the figures of a row, the others stand beside it.
        details: see `hardware.describe_hardware`.
        machine: the same in one line, see `hardware.summarise`.
    """
    timed = bench.timed
    return {
        "machine": machine,
        "details": details,
        "threads": len(details["cores_used"]),
        "rounds": bench.rounds_done,
        "batch_sizes": list(batch_sizes),
        "ratio_to": timed[0].row.name if timed else None,
        "notes": NOTES,
        "rows": [_row(measured, timed[0], batch_sizes) for measured in timed],
        "skipped": [{"name": s.name, "reason": s.reason, "failed": s.failed} for s in bench.skipped],
    }


def _row(measured: Measured, first: Measured, batch_sizes: tuple[int, ...]) -> dict[str, Any]:
    by_size = {str(size): _timings(measured, size) for size in batch_sizes if size in measured.nanoseconds}
    main = by_size[str(batch_sizes[0])]
    values: dict[str, Any] = {
        "number": measured.number,
        "name": measured.row.name,
        "network": measured.subject.source,
        "backend": measured.row.backend,
        "precision": measured.row.precision,
        "device": measured.row.device,
        "parameters": measured.parameters,
        "gmac": measured.macs / 1e9,
        "clip_seconds": measured.subject.clip_seconds,
        "ms_per_clip": main["ms_per_clip"],
        "spread": main["spread"],
        "by_batch_size": by_size,
        "realtime_factor": measured.subject.clip_seconds * 1000 / main["ms_per_clip"],
        "peak_rss_mb": main["peak_rss_mb"],
        "ready_s": measured.ready_s,
        "file_mb": measured.file_bytes / 1e6,
        "gflops": 2 * measured.macs / main["ms_per_clip"] / 1e6,
        "agreement": agreement(measured.logits, measured.reference),
        "ratio": _ratio(first, measured, batch_sizes[0]),
        "ratio_spread": _ratio_spread(first, measured, batch_sizes[0]),
    }
    if measured.peak_gpu is not None:
        values["peak_gpu_mb"] = measured.peak_gpu / 1e6
    return values | measured.accuracy


def _timings(measured: Measured, batch_size: int) -> dict[str, Any]:
    milliseconds = measured.milliseconds(batch_size)
    return {
        "ms_per_clip": float(np.median(milliseconds)),
        "spread": [float(value) for value in np.percentile(milliseconds, (25, 75))],
        "calls": len(milliseconds),
        "peak_rss_mb": measured.peak_rss[batch_size] / 1e6,
    }


def _ratio(first: Measured, measured: Measured, batch_size: int) -> float:
    return float(np.median(first.milliseconds(batch_size)) / np.median(measured.milliseconds(batch_size)))


def _ratio_spread(first: Measured, measured: Measured, batch_size: int) -> list[float]:
    """The quartiles of the rounds' ratios, which vary less than times do if the computer slows down."""
    pairs = zip(first.rounds(batch_size), measured.rounds(batch_size), strict=False)
    return [float(value) for value in np.percentile([a / b for a, b in pairs], (25, 75))]


def agreement(logits: np.ndarray, reference: np.ndarray) -> dict[str, Any]:
    """How well logits agree with those of the network as trained, in float32.

    Args:
        logits, reference: (inputs, classes).

    Returns:
        ``inputs``, their number; ``top1``, the % of the inputs that both give to the same class;
        ``largest_difference`` of any logit; and ``relative``, the same as a share of the largest logit.
    """
    difference = float(np.abs(logits - reference).max())
    return {
        "inputs": len(reference),
        "top1": 100 * float((logits.argmax(1) == reference.argmax(1)).mean()),
        "largest_difference": difference,
        "relative": difference / max(float(np.abs(reference).max()), 1e-12),
    }


def rounded(value: Any) -> Any:
    """The same JSON value with its floats rounded to six significant digits."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def accuracy_name(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """Which of ``accuracy`` and ``map`` these rows have, if any."""
    return next((name for name in ("accuracy", "map") for row in rows if name in row), None)


def cells(document: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of a document, as text."""
    sizes = [str(size) for size in document["batch_sizes"]]
    header = ["", "row", "parameters", "GMAC"]
    header += ["ms", "25-75 %", *(f"ms, batch {size}" for size in sizes[1:]), "x real time", "peak MB"]
    header += ["same top-1", "largest difference", "ratio"]
    figure = accuracy_name(document["rows"])
    header += [{"accuracy": "top-1", "map": "mAP"}[figure]] if figure else []
    lines = []
    for row in document["rows"]:
        agreement, by_size = row["agreement"], row["by_batch_size"]
        line = [str(row["number"]), row["name"], f"{row['parameters'] / 1e6:.2f} M", f"{row['gmac']:.3f}"]
        line += [_ms(row["ms_per_clip"]), "-".join(map(_ms, row["spread"]))]
        line += [_ms(by_size[size]["ms_per_clip"]) if size in by_size else "" for size in sizes[1:]]
        line += [f"{row['realtime_factor']:.0f}", f"{row['peak_rss_mb']:.0f}"]
        line += [f"{agreement['top1']:.1f} %", f"{agreement['largest_difference']:.1g}", f"{row['ratio']:.2f}"]
        line += [f"{row[figure]:.1f} %" if figure in row else ""] if figure else []
        lines.append(line)
    return header, lines


def _ms(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def markdown(document: dict[str, Any]) -> str:
    """The hardware, the table, and the rows that were skipped."""
    header, lines = cells(document)
    table = [header, ["---", "---", *["---:"] * (len(header) - 2)], *lines]
    text = [f"Measured on {document['machine']}.", title(document), ""]
    text += ["| " + " | ".join(line) + " |" for line in table]
    text += ["", document["notes"]]
    text += [f"Skipped: {skipped['name']} ({skipped['reason']})" for skipped in document["skipped"]]
    return "\n".join(text)


def print_table(document: dict[str, Any]) -> None:
    """Print the same for a terminal."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    console.print(f"[bold]{title(document)}[/bold]")
    console.print(document["machine"], style="dim", soft_wrap=True)
    header, lines = cells(document)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for index, name in enumerate(header):
        table.add_column(name, justify="left" if index == 1 else "right", no_wrap=index != 1)
    for line in lines:
        table.add_row(*line)
    # In a pipe the table takes the width that it needs, and is not cut to the width of a terminal.
    wide = console if console.is_terminal else Console(highlight=False, width=200)
    wide.print(table)
    console.print(document["notes"], style="dim")


def title(document: dict[str, Any]) -> str:
    """What was measured, in one line."""
    if not document["rows"]:
        return "Nothing was measured."
    clips = " and ".join(f"{value:g}" for value in sorted({row["clip_seconds"] for row in document["rows"]}))
    how = f"batch {document['batch_sizes'][0]}, {threads(document)}, {document['rounds']} interleaved rounds"
    return f"Clips of {clips} s, {how}."


def threads(document: dict[str, Any]) -> str:
    """``1 CPU thread``, ``2 CPU threads``."""
    return f"{document['threads']} CPU thread" + ("s" if document["threads"] > 1 else "")

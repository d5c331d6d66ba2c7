"""What each precision of one model keeps and costs, as a Markdown table: file size, accuracy, agreement, time.

    python tools/precision_table.py runs/cv/fold-5/model.safetensors --data kitchen20 --root Kitchen20 --folds 5

``--folds`` (or ``--split``) names clips that the model has not seen; int8 is calibrated on 200 of the others, or with
``--rendered`` on rendered sound. Times are of the network alone, log-mel of one clip to logits at batch 1: medians of
rounds, each in an order of its own, and in brackets the ratio to the first row. On a busy machine add ``--cpu-time``:
what the process itself used, with one thread. OpenVINO's rows come where it is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from audioinceptionnext.data import Clip, Dataset, load_dataset
from audioinceptionnext.data.reader import Reader
from audioinceptionnext.evaluation.evaluate import Heard, hear, in_terms_of
from audioinceptionnext.export.onnx import Input, export_onnx, heard_by, rendered_sounds
from audioinceptionnext.export.quantise import Precision, lower
from audioinceptionnext.inference.backends import open_session
from audioinceptionnext.models.load import load
from audioinceptionnext.network.storage import StoredModel, load_model

PRECISIONS: tuple[Precision, ...] = ("float32", "float16", "bf16", "int8")
ROWS: list[tuple[str, Precision]] = [("onnxruntime", precision) for precision in PRECISIONS]
OPENVINO: list[tuple[str, Precision]] = [("openvino", "float32"), ("openvino", "int8")]
CALIBRATING = 200
COLUMNS = ("backend", "file", "MB", "top-1, %", "as float32, %", "largest difference", "mean difference")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("weights")
    parser.add_argument("--data", default="kitchen20")
    parser.add_argument("--root", required=True, type=Path)
    parser.add_argument("--folds")
    parser.add_argument("--split")
    parser.add_argument("--rendered", action="store_true", help="calibrate on rendered sound")
    parser.add_argument("--rounds", default=100, type=int)
    parser.add_argument("--cpu-time", action="store_true")
    options = parser.parse_args()

    model = load_model(options.weights)
    dataset = load_dataset(options.data, options.root)
    clips, others = dataset.select(options.folds, options.split)
    reader = Reader(model.sample_rate, dataset.sample_rate)
    drawn = [others[i] for i in np.random.default_rng(0).permutation(len(others))[:CALIBRATING]]
    sounds = list(rendered_sounds(model).calibrating if options.rendered else map(reader.read, drawn))
    rows = ROWS + (OPENVINO if importlib.util.find_spec("openvino") else [])
    with tempfile.TemporaryDirectory() as folder:
        files = write(model, Path(folder, "waveform"), "waveform", sounds)
        scores = [score(files[precision], backend, dataset, clips, reader) for backend, precision in rows]
        networks = write(model, Path(folder, "log-mel"), "log-mel", sounds)
        heard = next(heard_by(model, "log-mel", [reader.read(clips[0])]))[None, : model.net.config.clip_frames]
        clock = time.process_time if options.cpu_time else time.perf_counter
        engines = [(networks[precision], backend) for backend, precision in rows]
        threads = (1,) if options.cpu_time else (1, 2)
        times = [medians(engines, heard, number, options.rounds, clock) for number in threads]
        sizes = [files[precision].stat().st_size / 1e6 for _, precision in rows]
    line(*COLUMNS, *[f"ms, threads: {threads}" for threads in range(1, 1 + len(times))])
    line(*["---"] * (len(COLUMNS) + len(times)))
    for number, (backend, precision) in enumerate(rows):
        found, first = scores[number].probabilities, scores[0].probabilities
        right, same = (found.argmax(1) == truth for truth in (scores[0].targets, first.argmax(1)))
        line(
            *(backend, precision, f"{sizes[number]:.2f}", f"{100 * right.mean():.2f}", f"{100 * same.mean():.2f}"),
            *(f"{np.abs(found - first).max():.4f}", f"{np.abs(found - first).mean():.6f}"),
            *(f"{spent[number]:.2f} ({spent[number] / spent[0]:.2f})" for spent in times),
        )


def write(model: StoredModel, folder: Path, takes: Input, sounds: Sequence[np.ndarray]) -> dict[Precision, Path]:
    """The model's file at every precision, int8 calibrated on these waveforms."""
    source = export_onnx(model, folder / "float32.onnx", takes=takes)
    files: dict[Precision, Path] = {"float32": source}
    for precision in PRECISIONS[1:]:
        files[precision] = folder / f"{precision}.onnx"
        name = "waveform" if takes == "waveform" else "log_mel"
        lower(source, files[precision], precision, ({name: x[None]} for x in heard_by(model, takes, sounds)))
    return files


def score(path: Path, backend: str, dataset: Dataset, clips: Iterable[Clip], reader: Reader) -> Heard:
    recogniser = load(path, backend=backend)
    _, known = in_terms_of(recogniser, dataset, list(clips))
    return hear(recogniser, known, reader)


def medians(
    files: Sequence[tuple[Path, str]], heard: np.ndarray, threads: int, rounds: int, clock: Callable[[], float]
) -> list[float]:
    """Milliseconds of one run of each file with its backend."""
    sessions = [open_session(path.read_bytes(), str(path), backend, threads) for path, backend in files]
    spent: list[list[float]] = [[] for _ in sessions]
    order = np.random.default_rng(0)
    for number in range(rounds + 3):  # the first three to warm up
        for index in order.permutation(len(sessions)):
            begin = clock()
            sessions[index].run(["logits"], {"log_mel": heard})
            if number >= 3:
                spent[index].append(1000 * (clock() - begin))
    return [float(np.median(own)) for own in spent]


def line(*cells: str) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()

"""Compare the precisions of one model in a Markdown table: file size, accuracy, agreement and time.

    python benchmarks/precision_table.py runs/cv/fold-5/model.safetensors --data kitchen20 --root Kitchen20 --folds 5

Give clips that the model was not trained on with ``--folds`` or ``--split``. int8 is calibrated on 200 of the others,
or on rendered sound with ``--rendered``. Times are those of the network alone, from the log-mel of one clip to logits
at batch 1: medians over rounds, each of which has a random order, with the ratio to the first row in brackets. On a
busy computer, add ``--cpu-time`` to measure CPU time with one thread. There are rows for OpenVINO if it is installed.
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
from audioinceptionnext.evaluation.clip_predictions import ClipPredictions, predict_clips
from audioinceptionnext.evaluation.evaluate import map_labels
from audioinceptionnext.export.clips import Input, input_batches, model_inputs, rendered_clips
from audioinceptionnext.export.onnx import export_onnx
from audioinceptionnext.export.quantise import Precision, convert_precision
from audioinceptionnext.inference.backends import Backend, open_session
from audioinceptionnext.models.load import load
from audioinceptionnext.network.storage import StoredModel, load_model

PRECISIONS: tuple[Precision, ...] = ("float32", "float16", "bf16", "int8")
ROWS: list[tuple[Backend, Precision]] = [("onnxruntime", precision) for precision in PRECISIONS]
OPENVINO: list[tuple[Backend, Precision]] = [("openvino", "float32"), ("openvino", "int8")]
CALIBRATION_CLIPS = 200
COLUMNS = ("backend", "file", "MB", "top-1, %", "as float32, %", "largest difference", "mean difference")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("weights")
    parser.add_argument("--data", default="kitchen20", metavar="NAME", help="name the kind of data set")
    parser.add_argument("--root", required=True, type=Path, metavar="DIR", help="set the folder of the data set")
    parser.add_argument("--folds", help="score these folds")
    parser.add_argument("--split", help="score this split")
    parser.add_argument("--rendered", action="store_true", help="calibrate on rendered sound")
    parser.add_argument("--rounds", default=100, type=int, help="set how often each row is timed")
    parser.add_argument("--cpu-time", action="store_true", help="measure CPU time, with one thread")
    options = parser.parse_args()

    model = load_model(options.weights)
    dataset = load_dataset(options.data, options.root)
    clips, others = dataset.select(options.folds, options.split)
    reader = Reader(model.sample_rate, dataset.sample_rate)
    chosen = [others[i] for i in np.random.default_rng(0).permutation(len(others))[:CALIBRATION_CLIPS]]
    waveforms = list(rendered_clips(model).calibration if options.rendered else map(reader.read, chosen))
    rows = ROWS + (OPENVINO if importlib.util.find_spec("openvino") else [])
    with tempfile.TemporaryDirectory() as folder:
        files = write(model, Path(folder, "waveform"), "waveform", waveforms)
        scores = [score(files[precision], backend, dataset, clips, reader) for backend, precision in rows]
        networks = write(model, Path(folder, "log-mel"), "log-mel", waveforms)
        clip = next(model_inputs(model, "log-mel", [reader.read(clips[0])]))[None, : model.net.config.clip_frames]
        clock = time.process_time if options.cpu_time else time.perf_counter
        engines = [(networks[precision], backend) for backend, precision in rows]
        threads = (1,) if options.cpu_time else (1, 2)
        times = [medians(engines, clip, number, options.rounds, clock) for number in threads]
        sizes = [files[precision].stat().st_size / 1e6 for _, precision in rows]
    print_row(*COLUMNS, *[f"ms, threads: {number}" for number in threads])
    print_row(*["---"] * (len(COLUMNS) + len(times)))
    for number, (backend, precision) in enumerate(rows):
        probabilities, first = scores[number].probabilities, scores[0].probabilities
        right, same = (probabilities.argmax(1) == truth for truth in (scores[0].targets, first.argmax(1)))
        difference = np.abs(probabilities - first)
        print_row(
            *(backend, precision, f"{sizes[number]:.2f}", f"{100 * right.mean():.2f}", f"{100 * same.mean():.2f}"),
            *(f"{difference.max():.4f}", f"{difference.mean():.6f}"),
            *(f"{ms[number]:.2f} ({ms[number] / ms[0]:.2f})" for ms in times),
        )


def write(model: StoredModel, folder: Path, input: Input, waveforms: Sequence[np.ndarray]) -> dict[Precision, Path]:
    """Write the model's file at every precision, with int8 calibrated on the waveforms."""
    source = export_onnx(model, folder / "float32.onnx", input=input)
    files: dict[Precision, Path] = {"float32": source}
    for precision in PRECISIONS[1:]:
        files[precision] = folder / f"{precision}.onnx"
        convert_precision(source, files[precision], precision, input_batches(model, input, waveforms))
    return files


def score(path: Path, backend: Backend, dataset: Dataset, clips: Iterable[Clip], reader: Reader) -> ClipPredictions:
    recogniser = load(path, backend=backend)
    _, known = map_labels(recogniser, dataset, list(clips))
    return predict_clips(recogniser, known, reader)


def medians(
    files: Sequence[tuple[Path, Backend]], clip: np.ndarray, threads: int, rounds: int, clock: Callable[[], float]
) -> list[float]:
    """The median milliseconds of each file with its backend.

    Args:
        clip: (1, frames, bands), a log-mel.
    """
    sessions = [open_session(path.read_bytes(), str(path), backend, threads) for path, backend in files]
    milliseconds: list[list[float]] = [[] for _ in sessions]
    order = np.random.default_rng(0)
    for number in range(rounds + 3):  # the first three rounds warm up
        for index in order.permutation(len(sessions)):
            start = clock()
            sessions[index].run(["logits"], {"log_mel": clip})
            if number >= 3:
                milliseconds[index].append(1000 * (clock() - start))
    return [float(np.median(own)) for own in milliseconds]


def print_row(*cells: str) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()

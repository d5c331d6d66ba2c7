"""A part of fixtures.py: what Python finds in recordings that are to become examples, and what it learns from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from outcomes import write

from audioinceptionnext.audio import decode
from audioinceptionnext.inference.recogniser import Recogniser
from audioinceptionnext.models.load import load, read_model
from audioinceptionnext.teaching.features import features_of
from audioinceptionnext.teaching.head import NONE, Examples, Head, fit_head, fold_numbers, softmax
from audioinceptionnext.teaching.onnx_file import metadata_of, with_new_head

RATE = 8000
SCENE = Path(__file__).resolve().parents[2] / "examples" / "kitchen-scene.flac"


def teaching(folder: Path) -> None:
    """All files of teach.test.js."""
    bursts(folder)
    heads(folder)
    model_files(folder)
    features(folder)


def heads(folder: Path) -> None:
    """Layers for clusters of features, with and without examples of nothing, in many channels and in few."""
    random = np.random.default_rng(6)
    cases = []
    for channels, of_none in ((200, True), (30, True), (150, False)):
        centres = random.standard_normal((7, channels))
        classes = np.repeat([0, 1, 2, 3, NONE], [20, 13, 8, 5, 12 * of_none])
        sources = [str(source) for source in random.integers(0, 40, len(classes))]
        spread = 0.05 * channels
        features = centres[classes] + spread * random.standard_normal((len(classes), channels)) / 3
        others = np.repeat(centres[4:6], [6, 10], axis=0) + spread * random.standard_normal((16, channels)) / 3
        folds = fold_numbers(classes.tolist(), sources)
        head = fit_head(Examples(features, classes, folds), 4, others, 6)
        found = {"features": features, "others": others, "probabilities": softmax(features @ head.weight + head.bias)}
        found |= {"folds": folds, "classes": classes, "per_class": head.per_class}
        found |= {"weight": head.weight, "bias": head.bias, "confusions": head.confusions}
        cases.append({name: array.tolist() for name, array in found.items()} | {"sources": sources})
        cases[-1] |= {"threshold": head.threshold, "top1": head.top1}
    (folder / "heads.json").write_text(json.dumps(cases))


def bursts(folder: Path) -> None:
    """Sounds of many lengths and levels over noise, with their bursts."""
    from audioinceptionnext.rendering.bursts import find_bursts  # needs scipy, which not all fixtures do

    random = np.random.default_rng(5)
    cases = []
    for number in range(40):
        waveform = random.choice([0, 1e-6, 1e-3, 0.05]) * random.standard_normal(int(random.uniform(0.05, 6) * RATE))
        for _ in range(int(random.integers(0, 5))):
            start, length = (int(part * len(waveform)) for part in random.uniform(0, 0.5, 2))
            waveform[start : start + length] += random.choice([0.01, 0.1, 0.5]) * random.standard_normal(length)
        write(folder, f"bursts-{number}.f32", waveform)
        read = np.fromfile(folder / f"bursts-{number}.f32", "<f4")
        gap = float(random.choice([0.1, 0.5, 0.75]))
        cases.append({"gap": gap, "bursts": find_bursts(read, RATE, gap)})
    (folder / "bursts.json").write_text(json.dumps({"rate": RATE, "cases": cases}))


def model_files(folder: Path) -> None:
    """Files with layers of random numbers: of shipped models, and of the first of these again."""
    random = np.random.default_rng(7)
    sound = (0.1 * random.standard_normal(120_000)).astype("<f4")
    sound[24_000:] = 0
    write(folder, "files.f32", sound)
    cases: list[dict[str, Any]] = []
    for model, labels in (("kitchen20-small", ["Tür", "kettle, old"]), ("digits", ["one"]), ("", ["a", "b", "c"])):
        content = read_model(model).content if model else (folder / "0.onnx").read_bytes()
        channels = int(metadata_of(content)["features"])
        columns = len(labels) + 2
        weight, bias = random.standard_normal((channels, columns)) / 9, random.standard_normal(columns)
        head = Head(weight.astype(np.float32), bias.astype(np.float32), 0.75, np.eye(1, dtype=int))
        made = with_new_head(content, "model", head, labels, "mine", {"clips": 12})
        (folder / f"{len(cases)}.onnx").write_bytes(made)
        about = {"model": model, "labels": labels, "columns": columns}
        about |= {"weight": head.weight.ravel().tolist(), "bias": head.bias.tolist()}
        about |= {"metadata": metadata_of(made)}
        if model != "digits":  # which takes long
            about["probabilities"] = Recogniser(made, "mine").predict(sound).probabilities.tolist()
        cases.append(about)
    (folder / "files.json").write_text(json.dumps(cases))


def features(folder: Path) -> None:
    """Vectors of recordings of several lengths, with digital silence, by a model of either mode."""
    scene = decode.read(SCENE, 24_000)
    long = np.concatenate([scene[:170_000], np.zeros(190_000)]).astype(np.float32)
    found = {}
    for model, sound in (("digits", scene[:20_000]), ("kitchen20-small", scene[:60_000]), ("kitchen20-small", long)):
        name = f"{model}_{len(sound)}"
        write(folder, f"features-{name}.f32", sound)
        found[name] = features_of(load(model, threads=1), sound).tolist()
    (folder / "features.json").write_text(json.dumps(found))

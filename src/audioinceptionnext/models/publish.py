"""What a repository of a model holds: the ONNX file, its weights for training, ``config.json`` and the card."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audioinceptionnext.errors import AinextError, writing
from audioinceptionnext.inference.recogniser import Recogniser
from audioinceptionnext.models.hub import client_for, one_line, user_agent
from audioinceptionnext.models.load import load
from audioinceptionnext.models.names import MODEL_FILE, check_hub_name, find_model, model_entries

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
# What the hub calls a licence; it wants any other by name.
LICENCES = frozenset(
    {"apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "gpl-3.0", "unlicense"}
    | {"cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0"}
)
UNNAMED = ("folder", "csv")  # data of one's own, which has no name that others know
_MEASURED = re.compile(r"(?:top-1 )?([\d.]+) %(.*)")  # as model.json states it
_LINK = re.compile(r"\[([^\]]+)\]\((?!https?:)[^)]*\)")  # to a file that the repository does not have
_LISTED = 40  # labels


@dataclass(frozen=True)
class Given:
    """A model as it is given: its files, and what is known besides what the ONNX file says."""

    onnx: Path
    weights: Path | None
    described: dict[str, Any]  # of a shipped model, its model.json
    card: str  # and its CARD.md
    page: str = ""  # of a folder, the README.md that it has, which stays as it is


def push_to_hub(model: str | Path, name: str, private: bool = False) -> str:
    """Uploads a model with its card, in one commit, and makes the repository where there is none.

    What is uploaded is what `hub_files.write_folder` writes.

    Args:
        model: a shipped name; an ``.onnx`` file; weights of a training run (``.safetensors``; needs the extra export);
            a folder with ``model.onnx`` and, if it has them, such weights as ``model.safetensors``.
        name: ``user/name``.
        private: of a new repository; one that is there stays as it is.

    Returns:
        Its address.

    Raises:
        AinextError: the extra is missing, a model that cannot be read, no login or one that may not write there, the
            hub cannot be reached.
    """
    check_hub_name(name)
    client = client_for(f"{name}: uploading")
    if not client.get_token():
        raise AinextError(f"{name}: not logged in: hf auth login, or set HF_TOKEN to a token that may write")
    api = client.HfApi(**user_agent())
    with tempfile.TemporaryDirectory() as folder:
        files = write_folder(model, name, folder)
        operations = [client.CommitOperationAdd(file.name, str(file)) for file in files]
        try:
            address = api.create_repo(name, private=private, exist_ok=True)
            # Weights of an earlier model would be taken for those of this one.
            if all(file.name != WEIGHTS for file in files) and api.file_exists(name, WEIGHTS):
                operations.append(client.CommitOperationDelete(WEIGHTS))
            api.create_commit(name, operations, commit_message=f"{Path(model).name} by audioinceptionnext")
        except Exception as error:  # see `fetch`
            raise AinextError(f"{name}: cannot be uploaded: {one_line(error)}") from error
    return str(address)


def write_folder(model: str | Path, name: str, folder: str | Path) -> list[Path]:
    """Writes what `hub.push_to_hub` uploads, a folder that `load` takes as it takes the repository.

    That is ``model.onnx``, ``model.safetensors`` where there are weights for training, ``config.json``, ``README.md``.

    Args:
        model, name: as `hub.push_to_hub` takes them.
        folder: made where it is missing; other files in it stay.

    Raises:
        AinextError: a model that cannot be read, a folder that cannot be written, the extra hub is missing.
    """
    check_hub_name(name)
    target = Path(folder)
    with tempfile.TemporaryDirectory() as made:
        given = _given(model, name, Path(made))
        recogniser = load(given.onnx, threads=1)  # as whoever fetches it will
        config = _config(recogniser, given)
        texts = {
            CONFIG: json.dumps(config, ensure_ascii=False, indent=2) + "\n",
            CARD: given.page or _card(name, config, given),
        }
        with writing(target):
            target.mkdir(parents=True, exist_ok=True)
            files = [_copy(given.onnx, target / MODEL_FILE)]
            if given.weights is not None:
                files.append(_copy(given.weights, target / WEIGHTS))
            for file, text in texts.items():
                (target / file).write_text(text, encoding="utf-8")
    return files + [target / file for file in texts]


def _given(model: str | Path, name: str, made: Path) -> Given:
    path = Path(model)
    if path.suffix == ".safetensors":
        raise AinextError(f"{path}: weights for training; give a folder with {MODEL_FILE} and {WEIGHTS} in it")
    if path.suffix == ".onnx":
        return Given(path, None, {}, "")
    if all(str(model) != entry.name for entry in model_entries()) and (path / MODEL_FILE).is_file():
        weights = path / WEIGHTS
        return Given(path / MODEL_FILE, weights if weights.is_file() else None, {}, "", _read(path / CARD))
    entry = find_model(str(model))
    entry.read()  # that it is the one that was shipped
    weights = entry.training_weights
    return Given(entry.path, weights if weights.is_file() else None, entry.facts, _read(entry.folder / "CARD.md"))


def _read(path: Path) -> str:
    """The text of a card, or none."""
    try:
        return path.read_text(encoding="utf-8") if path.is_file() else ""
    except (OSError, ValueError) as error:
        raise AinextError(f"{path}: cannot be read as UTF-8 text ({error})") from error


def _copy(source: Path, target: Path) -> Path:
    if source.resolve() != target.resolve():
        shutil.copyfile(source, target)
    return target


def _config(model: Recogniser, given: Given) -> dict[str, Any]:
    """What tools read: all that the ONNX file says of itself, as JSON has it."""
    facts = model.facts
    info = json.loads(facts.get("info", "{}"))
    config = {
        "format": facts.get("format"),
        "name": facts["name"],
        "labels": model.labels,
        "sample_rate": model.sample_rate,
        "clip_seconds": round(model.window, 6),
        "clip_samples": int(facts["clip_samples"]),
        "step_seconds": round(model.step, 6),
        "run": model.run,
        "precision": facts.get("precision"),
        "temperature": float(facts.get("temperature", 1)),
        "thresholds": dict(zip(model.labels, model.thresholds, strict=True)) if model.thresholds else None,
        "parameters": int(facts.get("parameters", 0)) or None,
        "gmac": float(facts.get("gmac", 0)) or None,
        "features": int(facts["features"]) if "features" in facts else None,
        "data": given.described.get("data") or info.get("data"),
        "licence": given.described.get("licence") or info.get("licence"),
        "measured": given.described.get("measured"),
        "weights": WEIGHTS if given.weights is not None else None,
    }
    return {key: value for key, value in config.items() if value is not None}


def _card(name: str, config: dict[str, Any], given: Given) -> str:
    text = _LINK.sub(r"\1", given.card).replace("training.safetensors", WEIGHTS) if given.card else _about(config)
    # To the point first: what it hears, how to use it; then what it is and how well it does.
    parts = text.strip().split("\n\n")
    parts.insert(2, _use(name, config))
    return "\n\n".join([f"---\n{_front_matter(name, config)}\n---", *parts]) + "\n"


def _front_matter(name: str, config: dict[str, Any]) -> str:
    """YAML, as the hub's client writes it: https://huggingface.co/docs/hub/model-cards."""
    try:
        from huggingface_hub import ModelCardData
    except ModuleNotFoundError:
        raise AinextError(f"{name}: its card needs the hub's client: pip install 'audioinceptionnext[hub]'") from None
    licence = config.get("licence", "")
    values: dict[str, Any] = {"license": licence.lower()} if licence else {}
    if licence and licence.lower() not in LICENCES:
        values = {"license": "other", "license_name": re.sub(r"[^a-z0-9.]+", "-", licence.lower()).strip("-")}
    data = config.get("data")
    if data and data not in UNNAMED:
        values["datasets"] = [data]
    if results := _results(config):
        values |= {"metrics": ["accuracy"], "model_name": config["name"], "eval_results": results}
    card = ModelCardData(
        library_name="audioinceptionnext",
        pipeline_tag="audio-classification",
        tags=["audioinceptionnext", "audio", "sound-event-detection", "onnx"],
        **values,
    )
    return card.to_yaml()


def _results(config: dict[str, Any]) -> list[Any]:
    """The figure that ``model.json`` states, with the words around it: they say on what it was measured, and how."""
    from huggingface_hub import EvalResult

    found = _MEASURED.match(config.get("measured", ""))
    if found is None:
        return []
    data = config.get("data", "own")
    return [
        EvalResult(
            task_type="audio-classification",
            dataset_type=data,
            dataset_name="sound of its own" if data in (*UNNAMED, "own") else data,
            metric_type="accuracy",
            metric_value=float(found[1]),
            metric_name=f"top-1 in %{found[2]}",
        )
    ]


def _about(config: dict[str, Any]) -> str:
    """A card for a model that has none: what its file says, and that nothing else is known."""
    labels, rate = config["labels"], config["sample_rate"]
    heard = ", ".join(labels[:_LISTED]) + (f" and {len(labels) - _LISTED} more" if len(labels) > _LISTED else "")
    size = ", ".join(
        text
        for text in (
            f"{config['parameters']:,} parameters" if "parameters" in config else "",
            f"{config['gmac']} GMAC" if "gmac" in config else "",
            f"clips of {config['clip_seconds']:g} s",
        )
        if text
    )
    rows = [
        ("Network", f"AudioInceptionNeXt, folded: {size}"),
        (
            "File",
            f"`{MODEL_FILE}`: waveform in (mono, {rate} Hz), logits every {1000 * config['step_seconds']:.0f} ms out",
        ),
        ("Run", f"`{config['run']}`"),
        ("Data", config.get("data", "not stated")),
        ("Licence of the weights", config.get("licence", "not stated")),
    ]
    if "weights" in config:
        rows.insert(3, ("Weights for fine-tuning", f"`{WEIGHTS}`"))
    table = "\n".join(["| | |", "| --- | --- |", *(f"| {key} | {value} |" for key, value in rows)])
    figures = "## Figures\n\nNone are stated. Before you rely on it, measure it on recordings like your own."
    return f"# {config['name']}\n\nHears {len(labels)} sounds: {heard}.\n\n{table}\n\n{figures}"


def _use(name: str, config: dict[str, Any]) -> str:
    tuned = ""
    if "weights" in config:
        tuned = f"""
Fine-tune it on sounds of your own, a sub-folder a class (`pip install 'audioinceptionnext[train]'`):

```sh
hf download {name} {WEIGHTS} --local-dir .
ainext train --data folder --root my_sounds --from {WEIGHTS} --out runs/mine
```
"""
    return f"""## Use

```sh
pip install 'audioinceptionnext[hub]'
ainext predict recording.mp4 --model {name}
```

```python
import audioinceptionnext as ain

model = ain.load("{name}")
heard = model.predict("recording.mp4")      # heard.clip, heard.segments
vectors = model.embed(["a.wav", "b.wav"])   # features for a classifier or a search
```
{tuned}
`{MODEL_FILE}` runs in any ONNX Runtime: its metadata hold the labels and the sampling rate, `{CONFIG}` repeats them."""

"""Publishing a model on the Hugging Face hub: its ONNX file, weights for training, ``config.json`` and a model card."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from audioinceptionnext.errors import FileError, MissingDependencyError, ModelError, writing
from audioinceptionnext.inference.recogniser import Recogniser
from audioinceptionnext.models.hub import describe_failure, hub_client, user_agent
from audioinceptionnext.models.load import load
from audioinceptionnext.models.names import MODEL_FILE, check_hub_name, find_model, model_entries

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
# The licences that the hub knows. Any other one is "other", with a name of its own.
LICENCES = frozenset(
    {"apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "gpl-3.0", "unlicense"}
    | {"cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0"}
)
OWN_DATA = ("folder", "csv", "page")  # ways to read a user's own data, which are not names of data sets
# As model.json states it; what a figure without a name is depends on the kind of the model.
_MEASURED = {
    "single-label": re.compile(r"(?:top-1 )?([\d.]+) %(.*)"),
    "multi-label": re.compile(r"mAP ([\d.]+) %(.*)"),
}
_LINK = re.compile(r"\[([^\]]+)\]\((?!https?:)[^)]*\)")  # to a file that the repository does not have
_MAX_LABELS = 40  # that a card lists


@dataclass(frozen=True)
class ModelFiles:
    """A model's files, and what is known about it besides the metadata of its ONNX file.

    Attributes:
        onnx: the ONNX file.
        weights: for training, if there are any.
        description: of a shipped model, the content of its ``model.json``.
        card: of a shipped model, the text of its ``CARD.md``.
        readme: of a folder, the text of its ``README.md``, which is published as it is.
    """

    onnx: Path
    weights: Path | None = None
    description: dict[str, Any] = field(default_factory=dict)
    card: str = ""
    readme: str = ""


def push_to_hub(model: str | Path, name: str, *, private: bool = False) -> str:
    """Upload a model with a model card in one commit. Creates the repository if it does not exist.

    `write_folder` writes the same files to a folder.

    Args:
        model: the name of a shipped model; an ``.onnx`` file; or a folder with ``model.onnx`` and, for fine-tuning,
            ``model.safetensors`` from a training run.
        name: ``user/name``.
        private: whether a new repository is private. An existing one stays as it is.

    Returns:
        The address of the repository.

    Raises:
        ParameterError: ``name`` is not of this form.
        MissingDependencyError: the hub's client is not installed.
        ModelError: the model cannot be read, nobody is logged in, the login may not write there, or the hub cannot be
            reached.

    >>> push_to_hub("runs/mine", "me/my-sounds", private=True)
    'https://huggingface.co/me/my-sounds'
    """
    check_hub_name(name)
    client = hub_client(f"uploading {name} to the Hugging Face hub")
    if not client.get_token():
        raise ModelError(name, "not logged in; run `hf auth login`, or set HF_TOKEN to a token that may write")
    api = client.HfApi(**user_agent())
    with tempfile.TemporaryDirectory() as folder:
        paths = write_folder(model, name, folder)
        operations = [client.CommitOperationAdd(path.name, str(path)) for path in paths]
        try:
            address = api.create_repo(name, private=private, exist_ok=True)
            # Weights of an earlier model would be taken for those of this one.
            if all(path.name != WEIGHTS for path in paths) and api.file_exists(name, WEIGHTS):
                operations.append(client.CommitOperationDelete(WEIGHTS))
            api.create_commit(name, operations, commit_message=f"{Path(model).name} by audioinceptionnext")
        except Exception as error:  # of as many classes as in `hub.fetch`
            raise ModelError(name, f"cannot be uploaded: {describe_failure(error)}") from error
    return str(address)


def write_folder(model: str | Path, name: str, folder: str | Path) -> list[Path]:
    """Write the files that `push_to_hub` uploads. `load` takes such a folder as it takes the repository.

    The files are ``model.onnx``, ``model.safetensors`` (if there are weights for training), ``config.json`` and
    ``README.md``, the model card.

    Args:
        model: as for `push_to_hub`.
        name: as for `push_to_hub`.
        folder: created if it does not exist. Other files in it stay.

    Returns:
        The files.

    Raises:
        ParameterError: ``name`` is not of the form ``user/name``.
        MissingDependencyError: the hub's client is not installed.
        ModelError, FileError: the model cannot be read, or the folder cannot be written.
    """
    check_hub_name(name)
    target = Path(folder)
    model_files = _find_files(model)
    recogniser = load(model_files.onnx, threads=1)  # as whoever fetches it will load it
    config = _config(recogniser, model_files)
    texts = {
        CONFIG: json.dumps(config, ensure_ascii=False, indent=2) + "\n",
        CARD: model_files.readme or _card(name, config, model_files),
    }
    with writing(target):
        target.mkdir(parents=True, exist_ok=True)
        paths = [_copy(model_files.onnx, target / MODEL_FILE)]
        if model_files.weights is not None:
            paths.append(_copy(model_files.weights, target / WEIGHTS))
        for name_in_folder, text in texts.items():
            (target / name_in_folder).write_text(text, encoding="utf-8")
    return paths + [target / name_in_folder for name_in_folder in texts]


def _find_files(model: str | Path) -> ModelFiles:
    path = Path(model)
    if path.suffix == ".safetensors":
        raise ModelError(path, f"holds weights for training; give a folder with {MODEL_FILE} and {WEIGHTS} in it")
    if path.suffix == ".onnx":
        return ModelFiles(path)
    if all(str(model) != entry.name for entry in model_entries()) and (path / MODEL_FILE).is_file():
        return ModelFiles(path / MODEL_FILE, _if_there(path / WEIGHTS), readme=_read(path / CARD))
    entry = find_model(str(model))
    entry.read()  # which checks that it is the file that was shipped
    card = _read(entry.folder / "CARD.md")
    return ModelFiles(entry.path, _if_there(entry.training_weights), entry.description, card)


def _if_there(path: Path) -> Path | None:
    return path if path.is_file() else None


def _read(path: Path) -> str:
    """The text of a card; empty if there is no such file."""
    try:
        return path.read_text(encoding="utf-8") if path.is_file() else ""
    except (OSError, ValueError) as error:
        raise FileError(path, f"cannot be read as UTF-8 text ({error})") from error


def _copy(source: Path, target: Path) -> Path:
    if source.resolve() != target.resolve():
        shutil.copyfile(source, target)
    return target


def _config(model: Recogniser, model_files: ModelFiles) -> dict[str, Any]:
    """What other programs read: everything that the ONNX file states, as JSON."""
    metadata, description = model.metadata, model_files.description
    info = json.loads(metadata.get("info", "{}"))
    config = {
        "format": metadata.get("format"),
        "name": metadata["name"],
        "labels": model.labels,
        "sample_rate": model.sample_rate,
        "clip_seconds": round(model.window_seconds, 6),
        "clip_samples": int(metadata["clip_samples"]),
        "step_seconds": round(model.step_seconds, 6),
        "mode": model.mode,
        "kind": "multi-label" if model.multi_label else "single-label",
        "precision": metadata.get("precision"),
        "temperature": float(metadata.get("temperature", 1)),
        "thresholds": dict(zip(model.labels, model.thresholds, strict=True)) if model.thresholds else None,
        "identifiers": model.identifiers or None,
        "groups": model.groups or None,
        "parameters": int(metadata.get("parameters", 0)) or None,
        "gmac": float(metadata.get("gmac", 0)) or None,
        "features": int(metadata["features"]) if "features" in metadata else None,
        "data": description.get("data") or info.get("data"),
        "licence": description.get("licence") or info.get("licence"),
        "measured": description.get("measured") or info.get("measured"),
        "weights": WEIGHTS if model_files.weights is not None else None,
    }
    return {key: value for key, value in config.items() if value is not None}


def _card(name: str, config: dict[str, Any], model_files: ModelFiles) -> str:
    card = model_files.card
    text = _LINK.sub(r"\1", card).replace("training.safetensors", WEIGHTS) if card else _about(config)
    # A reader wants to know first what the model recognises and how to use it, and then how it was made.
    parts = text.strip().split("\n\n")
    parts.insert(2, _usage(name, config))
    return "\n\n".join([f"---\n{_front_matter(config)}\n---", *parts]) + "\n"


def _front_matter(config: dict[str, Any]) -> str:
    """The card's YAML, see https://huggingface.co/docs/hub/model-cards."""
    try:
        from huggingface_hub import ModelCardData
    except ModuleNotFoundError:
        raise MissingDependencyError("writing a model card", "audioinceptionnext[hub]") from None
    licence = config.get("licence", "")
    values: dict[str, Any] = {"license": licence.lower()} if licence else {}
    if licence and licence.lower() not in LICENCES:
        values = {"license": "other", "license_name": re.sub(r"[^a-z0-9.]+", "-", licence.lower()).strip("-")}
    data = config.get("data")
    if data and data not in OWN_DATA:
        values["datasets"] = [data]
    if results := _results(config):
        values |= {"metrics": [results[0].metric_type], "model_name": config["name"], "eval_results": results}
    card = ModelCardData(
        library_name="audioinceptionnext",
        pipeline_tag="audio-classification",
        tags=["audioinceptionnext", "audio", "sound-event-detection", "onnx"],
        **values,
    )
    return card.to_yaml()


def _results(config: dict[str, Any]) -> list[Any]:
    """The accuracy (or mAP) that ``model.json`` states, with the text around it, which says how it was measured."""
    from huggingface_hub import EvalResult

    several = config["kind"] == "multi-label"
    match = _MEASURED[config["kind"]].match(config.get("measured", ""))
    if match is None:
        return []
    data = config.get("data", "own")
    return [
        EvalResult(
            task_type="audio-classification",
            dataset_type=data,
            dataset_name="own recordings" if data in (*OWN_DATA, "own") else data,
            metric_type="mean_average_precision" if several else "accuracy",
            metric_value=float(match[1]),
            metric_name=f"{'mAP' if several else 'top-1'} in %{match[2]}",
        )
    ]


def _about(config: dict[str, Any]) -> str:
    """A card for a model that has none: what its file states, and that no figures are known."""
    labels, rate = config["labels"], config["sample_rate"]
    more = f" and {len(labels) - _MAX_LABELS} more" if len(labels) > _MAX_LABELS else ""
    listed = ", ".join(labels[:_MAX_LABELS]) + more
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
            f"`{MODEL_FILE}`: waveform in (mono, {rate} Hz), "
            f"probabilities every {1000 * config['step_seconds']:.0f} ms out",
        ),
        ("Mode", f"`{config['mode']}`"),
        *([("Kind", "`multi-label`: several labels can be true at once, or none")] * (config["kind"] == "multi-label")),
        ("Data", config.get("data", "not stated")),
        ("Licence of the weights", config.get("licence", "not stated")),
    ]
    if "weights" in config:
        rows.insert(3, ("Weights for fine-tuning", f"`{WEIGHTS}`"))
    table = "\n".join(["| | |", "| --- | --- |", *(f"| {key} | {value} |" for key, value in rows)])
    stated = f"{measured[:1].upper()}{measured[1:]}" if (measured := config.get("measured")) else "None are stated"
    figures = f"## Results\n\n{stated}. Before you rely on the model, measure it on recordings like your own."
    return f"# {config['name']}\n\nRecognises {len(labels)} labels: {listed}.\n\n{table}\n\n{figures}"


def _usage(name: str, config: dict[str, Any]) -> str:
    """The section that shows how to use the model and, if there are weights for training, how to fine-tune it."""
    values = {"name": name, "model_file": MODEL_FILE, "config_file": CONFIG, "weights_file": WEIGHTS}
    fine_tuning = _template("card_fine_tuning.md").substitute(values) if "weights" in config else ""
    return _template("card_use.md").substitute(values, fine_tuning=fine_tuning).strip()


def _template(file: str) -> Template:
    return Template((files("audioinceptionnext.models") / file).read_text(encoding="utf-8"))

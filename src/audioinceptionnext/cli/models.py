"""``ainext models``."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from audioinceptionnext.errors import ModelError, ParameterError, counted, printable

if TYPE_CHECKING:
    from audioinceptionnext.models.names import ModelEntry

_NO_BREAK = "\u00a0"


def models(
    model: Annotated[
        str | None,
        typer.Argument(metavar="NAME|FILE", help="Describe this model, with all its labels.", show_default="list all"),
    ] = None,
    language: Annotated[
        str | None,
        typer.Option(
            "--language",
            metavar="CODE",
            help="Also give the names of its labels in this language: de, en, es, fr, ja, pt or zh, or one that the "
            "model has a table of.",
            show_default="labels alone",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List the models that other commands accept by name, with their size, licence and measured accuracy.

    Example: [bold]ainext models kitchen20[/bold]
    """
    from audioinceptionnext.models.names import DEFAULT_MODEL, find_model, model_entries

    if model is not None:
        about = _of_file(Path(model)) if model.endswith(".onnx") else _as_dict(find_model(model))
        names = {} if language is None else _names(about, language)
        if as_json:
            print(json.dumps(about | ({"names": names} if names else {}), ensure_ascii=False, indent=2))
        else:
            print(_in_words(about, names))
        return
    if language is not None:
        raise ParameterError("language", language, "this is for the labels of one model; give its name")
    entries = model_entries()
    if as_json:
        print(json.dumps([_as_dict(entry) for entry in entries], ensure_ascii=False, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, padding=(0, 3, 0, 0), header_style="bold")
    table.add_column("model", no_wrap=True)
    for name in ("classes", "parameters", "GMAC", "size"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("licence", no_wrap=True)
    for entry in entries:
        description = entry.description
        table.add_row(
            entry.name,
            str(len(description["labels"])),
            f"{description['parameters']:,}",
            f"{description['gmac']:.3f}",
            f"{description['bytes'] / 1e6:.1f} MB",
            description["licence"],
        )
    console = Console(highlight=False)
    console.print(table)
    console.print("\nGMAC: billions of multiply-accumulates per clip.\n\nMeasured accuracy:")
    for entry in entries:
        console.print(f"{entry.name}: {entry.description['measured']}", markup=False)
    console.print(f"\nThe default is {DEFAULT_MODEL}. The labels of one: ainext models NAME", markup=False)


def _names(about: dict[str, Any], language: str) -> dict[str, str]:
    from audioinceptionnext.results.languages import names_of

    known = [*about["labels"], *about.get("groups", {})]
    return {label: label for label in known} | names_of(known, language, Path(about["path"]))


def _in_words(about: dict[str, Any], names: Mapping[str, str]) -> str:
    figures = f"{about['parameters']:,} parameters, {about['gmac']:.3f} GMAC per clip, {about['bytes'] / 1e6:.1f} MB"
    return "\n".join(
        [
            f"{printable(about['name'])}: {figures}, {about['licence'] or 'no licence stated'}",
            *([f"taught from: {_taught_from(about)}"] if "taught_from" in about else []),
            f"measured: {about['measured'] or 'not stated'}",
            *(["kind: multi-label (several labels can be true at once)"] if about.get("kind") == "multi-label" else []),
            f"file: {printable(about['path'])}",
            *_labels_in_words(about["labels"], about.get("groups", {}), names),
        ]
    )


def _labels_in_words(labels: list[str], groups: dict[str, list[str]], names: Mapping[str, str]) -> list[str]:
    """The labels: in paragraphs, by the groups that are part of no other; one on each line if there are no groups."""

    def shown(label: str) -> str:
        name = names.get(label, label)
        return printable(label if name == label else f"{name} ({label})")

    if not groups:
        return [f"\n{counted(len(labels), 'label')}:", *map(shown, labels)]
    sets = {name: frozenset(members) for name, members in groups.items()}
    largest = {name: members for name, members in sets.items() if not any(members < other for other in sets.values())}
    width = max(40, min(100, shutil.get_terminal_size((100, 24)).columns))

    def paragraph(within: Iterable[str], before: str = "") -> str:
        whole = (shown(name).replace(" ", _NO_BREAK) for name in within)
        text = textwrap.fill(
            before + f"{_NO_BREAK}· ".join(whole), width, initial_indent="  ", subsequent_indent="  ",
            break_on_hyphens=False, break_long_words=False,
        )  # fmt: skip
        return text.replace(_NO_BREAK, " ")

    lines = [f"\n{counted(len(labels), 'label')} in {counted(len(groups), 'group')}, for --labels and --ignore:"]
    for name, members in largest.items():
        title = names.get(name, name)
        lines += [f"\ngroup:{printable(title)} ({len(members)})", paragraph(groups[name])]
        if smaller := [f"{names.get(one, one)} ({len(sets[one])})" for one in sets if sets[one] < members]:
            lines.append(paragraph(smaller, "groups within: "))
    if others := [label for label in labels if not any(label in members for members in sets.values())]:
        lines += [f"\nin no group ({len(others)})", paragraph(others)]
    return lines


def _taught_from(about: dict[str, Any]) -> str:
    """What a model was taught from, in words."""
    clips = ", ".join(f"{printable(name)} ({count})" for name, count in about["clips"].items())
    return f"{printable(about['taught_from'])}, {about['date']}, with clips of {clips}"


def _of_file(path: Path) -> dict[str, Any]:
    """What a model's file states, in the form of ``model.json``."""
    from audioinceptionnext.models.load import read_model
    from audioinceptionnext.teaching.onnx_file import metadata_of

    content = read_model(path).content
    metadata = metadata_of(content)
    try:
        info = json.loads(metadata.get("info", "{}"))
        return {
            "name": metadata["name"],
            "bytes": len(content),
            "parameters": int(metadata["parameters"]),
            "gmac": float(metadata["gmac"]),
            "mode": metadata["mode"],
            "sample_rate": int(metadata["sample_rate"]),
            "licence": info.get("licence"),
            "measured": info.get("measured"),
            **{key: info[key] for key in ("taught_from", "clips", "top1", "date") if "taught_from" in info},
            "labels": json.loads(metadata["labels"]),
            "kind": metadata["kind"],
            "groups": json.loads(metadata.get("groups", "{}")),
            "path": str(path),
        }
    except (KeyError, ValueError) as error:
        raise ModelError(path, "no model that `ainext export` or `ainext teach` wrote, or damaged") from error


def _as_dict(entry: ModelEntry) -> dict[str, Any]:
    """What ``model.json`` says, and where the model is."""
    return entry.description | {"path": str(entry.path)}

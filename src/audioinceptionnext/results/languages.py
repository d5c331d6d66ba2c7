"""What labels are called in people's languages. A label stays the key of thresholds, rules and files; a name is shown.

The tables are in ``languages/``, one per language, and a model can have its own beside its file: ``mine.de.tsv`` for
``mine.onnx``. Each has the columns ``label``, ``name`` and ``checked``, of which a model's own may lack the last one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from os import PathLike
from pathlib import Path

from audioinceptionnext.errors import FileError, ParameterError

ENGLISH = "en"  # the language of the labels themselves
#: What a name is for in each of these, as browsers and ``LANG`` write it: ``zh`` is written in simplified characters.
_OTHER_SCRIPTS = {"zh": ("hant", "tw", "hk", "mo")}
_CODE = re.compile(r"[a-z]{2,3}([-_][a-z0-9]{1,8})*", re.IGNORECASE | re.ASCII)


def list_languages() -> list[str]:
    """The languages that names come with, by their codes of ISO 639.

    >>> list_languages()
    ['de', 'en', 'es', 'fr', 'ja', 'pt', 'zh']
    """
    return sorted([ENGLISH, *(one.name.removesuffix(".tsv") for one in _folder().iterdir() if one.name[-4:] == ".tsv")])


def names_of(labels: Iterable[str], language: str, model: str | PathLike[str] = "") -> dict[str, str]:
    """The names of some labels or groups in a language. What has no name there is missing.

    Args:
        labels: as they are in the model.
        language: its code, such as ``de``. A region is ignored, as in ``pt-PT``.
        model: the model's file. A table beside it comes before those of this package.

    Returns:
        Names by label. No two of them are the same, nor is one a label without a name.

    Raises:
        ParameterError: there are no names in this language.
        FileError: the table beside the model is not one of names.

    >>> names_of(["Dog", "my dog"], "de")
    {'Dog': 'Hund'}
    """
    labels = list(dict.fromkeys(labels))
    code, own = _find(language, Path(model))
    known = dict(zip(labels, labels, strict=True)) if code == ENGLISH else {}
    if code != ENGLISH and code in list_languages():
        known = _shipped(code)
    if own is not None:
        known = known | read_names(own)
    counts = Counter(known.get(label, label).casefold() for label in labels)
    names = {label: known[label] for label in labels if label in known}
    return {
        label: name if name == label or counts[name.casefold()] == 1 else f"{name} ({label})"
        for label, name in names.items()
    }


def read_names(path: str | PathLike[str]) -> dict[str, str]:
    """The names in a table: text in UTF-8 with tabs between its columns, of which the first line names ``label`` and
    ``name``. Rows without a name do not count.

    Raises:
        FileError: it cannot be read, or is no such table.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise FileError(path, f"cannot be read as text: {(reason or str(error)).lower()}") from error
    return _parsed(path, text)


def _find(language: str, model: Path) -> tuple[str, Path | None]:
    """The code of the language that is meant, and the table of it beside a model's file, if there is one."""
    known = list_languages()
    given = language.strip().lower().replace("_", "-").partition(".")[0]  # as in LANG: de_DE.UTF-8
    if _CODE.fullmatch(given):
        first, *rest = given.split("-")
        for code in dict.fromkeys((given, first)):
            table = model.with_name(f"{model.stem}.{code}.tsv") if model.name else None
            own = table if table is not None and table.is_file() else None
            other_script = code == first and set(rest) & set(_OTHER_SCRIPTS.get(first, ()))
            if own is not None or (code in known and not other_script):
                return code, own
    beside = f"{model.stem or 'model'}.{given if _CODE.fullmatch(given) else 'de'}.tsv"
    reason = f"there are no names of labels in it; choose from {', '.join(known)}, or give a model's own in {beside}"
    raise ParameterError("language", language[:100] or "empty", reason)


def _folder():  # type: ignore[no-untyped-def]  # of importlib.resources, whose type has moved between versions
    return files("audioinceptionnext") / "languages"


@cache
def _shipped(language: str) -> dict[str, str]:
    name = f"{language}.tsv"
    return _parsed(name, (_folder() / name).read_text(encoding="utf-8"))


def _parsed(path: str | PathLike[str], text: str) -> dict[str, str]:
    header, *lines = [line.split("\t") for line in text.splitlines()] or [[]]
    if not {"label", "name"} <= set(header):
        raise FileError(path, "its first line has to name the columns label and name, with a tab between them")
    names: dict[str, str] = {}
    for number, fields in enumerate(lines, start=2):
        row = dict(zip(header, fields, strict=False))
        label, name = row.get("label", ""), " ".join(row.get("name", "").split())
        if names.setdefault(label, name) != name:
            raise FileError(path, f"line {number}: {label[:100]!r} has another name already; keep one of the two")
    return {label: name for label, name in names.items() if label and name}

"""The values of a rules file, each checked as it is read: an error names the file, the rule and the key."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NoReturn

from audioinceptionnext.errors import FileError, MissingDependencyError, printable, suggest

_SHOWN = 80  # characters of a value that an error shows
MAX_SECONDS = 30 * 24 * 3600.0  # of any duration: a month


class Fields:
    """The keys of one part of a rules file.

    Args:
        path: of the file.
        where: what errors call the part, such as ``rule 'Doorbell'``; empty for the whole file.
        values: what the file has there.
        known: the keys that the part may have.

    Raises:
        FileError: there are no keys, or one that is not known. So do all methods if a value is not what they return.
    """

    def __init__(self, path: Path, where: str, values: object, known: Collection[str]) -> None:
        self.path, self.where = path, where
        if not isinstance(values, Mapping):
            what = "is empty" if values is None else "is a list" if isinstance(values, list) else "is a single value"
            self.fail("", f"{what}; give keys with values: {', '.join(known)}")
        self._values: Mapping[Any, Any] = values
        for key in values:
            if key not in known:
                self.fail("", f"there is no key {shown(key)}; {suggest(str(key)[:_SHOWN], known)}")

    def fail(self, key: str, reason: str) -> NoReturn:
        """Raise the `FileError` that says what is wrong with a key, or with the whole part if ``key`` is empty."""
        place = ", ".join(part for part in (self.where, key) if part)
        raise FileError(self.path, f"{place}: {reason}" if place else reason)

    def has(self, key: str) -> bool:
        """Whether the key has a value."""
        return self._values.get(key) is not None

    def raw(self, key: str) -> Any:
        """What the file has for the key."""
        return self._values.get(key)

    def text(self, key: str, default: str | None = None) -> str:
        """A text that is not empty; ``default`` without the key, which is an error if there is none."""
        if not self.has(key):
            return self.missing(key) if default is None else default
        value = self._values[key]
        if not isinstance(value, str) or not value.strip():
            self.fail(key, f"{shown(value)} is no text; write it in quotes")
        return value.strip()

    def missing(self, key: str) -> NoReturn:
        """Raise the error for a key that has to be there."""
        self.fail(key, "this is missing; give one")

    def texts(self, key: str) -> tuple[str, ...]:
        """A text or a list of them; empty without the key."""
        value = self._values.get(key)
        if value is None:
            return ()
        some = value if isinstance(value, list) else [value]
        for one in some:
            if not isinstance(one, str) or not one.strip():
                self.fail(key, f"{shown(one)} is no text; give a text or a list of them, in quotes if need be")
        if not some:
            self.fail(key, "the list is empty; give at least one text, or leave the key out")
        return tuple(one.strip() for one in some)

    def number(self, key: str, default: float, low: float, high: float = MAX_SECONDS, unit: str = " seconds") -> float:
        """A number from ``low`` to ``high``."""
        value = self._values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            self.fail(key, f"{shown(value)} is not possible; give a number from {low:g} to {high:.10g}{unit}")
        return float(value)

    def whole(self, key: str, default: int, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``."""
        value = self._values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.fail(key, f"{shown(value)} is not possible; give a whole number from {low} to {high}")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """``true`` or ``false``."""
        value = self._values.get(key, default)
        if not isinstance(value, bool):
            self.fail(key, f"{shown(value)} is not possible; give true or false")
        return value

    def secret(self, key: str) -> str:
        """The value of the environment variable that the key names; empty without the key."""
        if not self.has(key):
            return ""
        name = self.text(key)
        if not (value := os.environ.get(name, "")):
            self.fail(key, f"the environment variable {shown(name)} is not set; set it, so that the file has no secret")
        if not value.isprintable():  # as from a file with a line break at its end, which no header can have
            self.fail(key, f"the environment variable {shown(name)} has a line break or the like; set it without")
        return value

    def place(self, key: str) -> Path:
        """A path; a relative one counts from the folder of the rules file."""
        return self.path.parent / Path(self.text(key)).expanduser()


def shown(value: object) -> str:
    """A value of the file as an error shows it."""
    text = repr(value) if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    return printable(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


def read_yaml(path: Path) -> object:
    """What a YAML file holds.

    Raises:
        FileError: it cannot be read, is not YAML, or has a key twice.
        MissingDependencyError: PyYAML is not installed.
    """
    try:
        import yaml
    except ModuleNotFoundError:
        raise MissingDependencyError("a rules file", "audioinceptionnext[alerts]") from None

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            keys = [key.value for key, _ in node.value if isinstance(key.value, str)]
            if twice := next((key for key in keys if keys.count(key) > 1), None):
                line = node.start_mark.line + 1
                raise FileError(path, f"has the key {shown(twice)} twice, in what begins in line {line}; give it once")
            found: dict[Any, Any] = super().construct_mapping(node, deep)
            return found

    try:
        return yaml.load(path.read_text(encoding="utf-8-sig"), Loader)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise FileError(path, f"cannot be read as text: {(reason or 'it is not UTF-8').lower()}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = "" if mark is None else f"line {mark.line + 1}: "
        reason = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise FileError(path, f"is not YAML: {line}{reason}") from error

"""Errors that the user can fix, and how to describe them in one line.

Every error carries its parts as attributes, and `str` joins them into a line that reads well in Python. The command
line, the server and a cluster's results word the same parts in their own way, so nothing has to parse a message.
"""

from __future__ import annotations

import codecs
import difflib
import os
import re
import secrets
import tempfile
import zipfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path

# Control characters, line separators, and marks that turn the direction of the text around them.
_UNSHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufffd]")

_NUMBER = re.compile(r"\s*[-+]?[\d.]+(e[-+]?\d+)?\s*", re.IGNORECASE)


class AinextError(Exception):
    """Base class of the errors that a user can fix. The message says in one line what is wrong and what to do."""

    @property
    def reason(self) -> str:
        """What is wrong and what to do, without naming what it is wrong with."""
        return str(self.args[-1])


class ParameterError(AinextError, ValueError):
    """A parameter has an invalid value.

    Attributes:
        name: of the parameter, as in Python. The command line shows its option, the server its query name.
        value: what was given. None where naming the parameter is enough.
        reason: what is wrong with the value, and what to give instead.

    >>> str(ParameterError("step_seconds", 0.05, "give a multiple of 0.16 s"))
    'step_seconds is 0.05: give a multiple of 0.16 s'
    """

    def __init__(self, name: str, value: object, reason: str) -> None:
        super().__init__(name, value, reason)
        self.name, self.value = name, value

    def __str__(self) -> str:
        # A number that was given as text is to be told from one that is a number.
        value = repr(self.value) if isinstance(self.value, str) and _NUMBER.fullmatch(self.value) else self.value
        return f"{self.name}: {self.reason}" if value is None else f"{self.name} is {value}: {self.reason}"


class FileError(AinextError):
    """A file or folder cannot be read, written, or understood.

    Attributes:
        path: of the file.
        reason: what is wrong with it, and what to do.

    >>> str(FileError("meta.csv", "has no column 'label'"))
    "meta.csv: has no column 'label'"
    """

    def __init__(self, path: str | PathLike[str], reason: str) -> None:
        super().__init__(path, reason)
        self.path = path

    def __str__(self) -> str:
        return f"{printable(self.path)}: {self.reason}"


class MediaError(FileError):
    """A recording cannot be decoded, or has no sound."""


class TrackError(MediaError, ParameterError):
    """A recording has not so many sound tracks as ``track`` asks for.

    It is an error of the recording, as `MediaError`, among many recordings, and of the parameter where there is one.
    """

    def __init__(self, path: str | PathLike[str], track: int, reason: str) -> None:
        AinextError.__init__(self, path, track, reason)
        self.path, self.name, self.value = path, "track", track


class ModelError(AinextError):
    """A model does not exist, cannot be loaded, or cannot do what it is asked for.

    Attributes:
        model: its name or file, as it was given.
        reason: what is wrong, and what to do.
    """

    def __init__(self, model: str | PathLike[str], reason: str) -> None:
        super().__init__(model, reason)
        self.model = model

    def __str__(self) -> str:
        return f"{printable(self.model)}: {self.reason}"


class MissingDependencyError(AinextError):
    """Something needs a package that is not installed.

    Attributes:
        purpose: what needs it, as the subject of a sentence: ``"the picture"``.
        requirement: what ``pip install`` takes to get it: an extra of this package, or another package.

    >>> str(MissingDependencyError("the picture", "audioinceptionnext[plot]"))
    "the picture needs a package that is not installed: pip install 'audioinceptionnext[plot]'"
    """

    def __init__(self, purpose: str, requirement: str) -> None:
        super().__init__(purpose, requirement)
        self.purpose, self.requirement = purpose, requirement

    @property
    def reason(self) -> str:
        return f"needs a package that is not installed: pip install '{self.requirement}'"

    def __str__(self) -> str:
        return f"{self.purpose} {self.reason}"


def describe(error: Exception) -> str:
    """What is wrong, in one line and without naming the file: for a result that names it elsewhere."""
    return error.reason if isinstance(error, AinextError) else unexpected(error)


def unexpected(error: Exception) -> str:
    """One line for an unexpected error."""
    return " ".join(f"{type(error).__name__}: {error} (this is a bug; please report it)".splitlines())


def printable(path: str | PathLike[str]) -> str:
    """A name of a file or a label as any terminal or page can show it: what could command one becomes ``?``."""
    text = os.fsdecode(path).encode("utf-8", "replace").decode()  # bytes that are no text, and lone halves in JSON
    return _UNSHOWN.sub("?", text)


def suggest(name: str, known: Iterable[str], most: int = 60) -> str:
    """The nearest known name in any case, or all of them, but at ``most`` so many.

    >>> suggest("smal", ["base", "small", "tiny"])
    'did you mean small?'
    >>> suggest("x", ["base", "small", "tiny"])
    'choose from base, small, tiny'
    """
    known = list(known)
    by_lower = {one.lower(): one for one in reversed(known)}
    if near := difflib.get_close_matches(name.lower(), by_lower, 1):
        return f"did you mean {by_lower[near[0]]}?"
    more = [f"{len(known) - most} more"] if len(known) > most else []
    return f"choose from {', '.join([*known[:most], *more])}"


def counted(number: int, noun: str) -> str:
    """A number and what it counts.

    >>> counted(1, "fold"), counted(0, "clip"), counted(1200, "class")
    ('1 fold', '0 clips', '1,200 classes')
    """
    ending = "" if number == 1 else "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{ending}"


SUBMISSION = "a challenge's submission"
_UNKNOWN = "a file of another kind"
_UNREADABLE, _EMPTY, _TEXT = "a file that cannot be read", "an empty file", "a text file"
_MAX_SAFETENSORS_HEADER = 100_000_000  # bytes, as safetensors itself has it
# How a file begins, and what it is then, for `kind_of_file`.
_HEADS = {
    b"\x80": "a pickle",
    b"\x89HDF": "an HDF5 file",
    b"RIFF": "a recording",
    b"fLaC": "a recording",
    b"OggS": "a recording",
    b"ID3": "a recording",
    b"\x1a\x45\xdf\xa3": "a recording",
}


def kind_of_file(path: str | PathLike[str]) -> str:
    """What a file looks like, for an error that says why it is the wrong one: by its content, whatever its name is.

    >>> kind_of_file("EPIC_Sounds_validation.csv"), kind_of_file("runs/mine/model.onnx")
    ('a CSV file', 'an ONNX model')
    """
    path = Path(path)
    if path.is_dir():
        return "a folder"
    try:
        with path.open("rb") as file:
            head = file.read(512)
        if head.startswith(b"PK\x03\x04"):
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
            if any(name.endswith("data.pkl") for name in names):
                return "a torch file"
            return SUBMISSION if "test.json" in names else "a zip file"
    except (OSError, zipfile.BadZipFile):
        return _UNREADABLE
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= _MAX_SAFETENSORS_HEADER:
        return "a .safetensors file"
    if head[:1] == b"\x08" and head[2:3] in (b"\x12", b"\x3a"):  # the fields of a protocol buffer in ONNX's order
        return "an ONNX model"
    if head[4:8] == b"ftyp":
        return "a recording"
    if found := next((kind for start, kind in _HEADS.items() if head.startswith(start)), None):
        return found
    try:
        text = codecs.utf_8_decode(head, "strict", False)[0].removeprefix("\ufeff")  # the last letter may be cut
    except UnicodeDecodeError:
        return _UNKNOWN
    if re.search("[\x00-\x08\x0e-\x1f]", text):
        return _UNKNOWN
    if not text.strip():
        return _EMPTY
    return "a JSON file" if text.lstrip()[0] in "{[" else "a CSV file" if "," in text.split("\n")[0] else _TEXT


def check_kind(path: str | PathLike[str], right: Collection[str], wanted: str) -> None:
    """Raise a `FileError` if a file is clearly of another kind than these, as `kind_of_file` calls them.

    What could be anything is left to its reader: text may be an old pickle, for instance.

    Args:
        path: of the file.
        right: the kinds that it may be of.
        wanted: what it should be, for the error.
    """
    kind = kind_of_file(path)
    if kind not in right and kind not in (_UNKNOWN, _UNREADABLE, _EMPTY, _TEXT):
        raise FileError(path, f"is {kind}, not {wanted}")


@contextmanager
def replacing(path: str | PathLike[str]) -> Iterator[Path]:
    """Yield the name of a new file beside ``path``, which replaces it when the block is left without an error.

    So an older file stays whole until the new one is. A link stays a link. What cannot be replaced, such as
    ``/dev/stdout`` or a file in a folder that is read-only, is written to as it is. Errors are worded as by `writing`.

    >>> with replacing("report.html") as new:
    ...     new.write_text(page)
    """
    with writing(path):
        target = Path(os.path.realpath(path))
        if target.is_dir():
            raise IsADirectoryError
        if target.exists() and not (target.is_file() and os.access(target.parent, os.W_OK)):
            yield target
            return
        new = beside(target)
        try:
            yield new
            if target.exists():
                new.chmod(target.stat().st_mode & 0o777)
            new.replace(target)
        except BaseException:
            with suppress(OSError):
                new.unlink()
            raise


def beside(path: Path) -> Path:
    """A name for the unfinished file in the folder of ``path``, which no name of 255 bytes makes too long.

    No two calls give the same one, in whatever process. It begins with ``_``, since readers of folders of Parquet skip
    such names.
    """
    return path.with_name(f"_{path.stem[:20]}-{secrets.token_hex(6)}{path.suffix[:10]}.part")


@contextmanager
def writing(path: str | PathLike[str]) -> Iterator[None]:
    """Turn the system's refusal to write ``path`` into a `FileError` that says what to do."""
    try:
        yield
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            folders = Path(path).parent, Path(os.path.realpath(path)).parent  # of a link, and of what it leads to
            gone = next((folder for folder in folders if not folder.exists()), None)
            reason = "another program removed it; run the command again"
            if gone is not None:
                reason = f"the folder {printable(gone)} does not exist; create it first"
        elif isinstance(error, IsADirectoryError):
            reason = "it is a folder; give a file name"
        elif isinstance(error, PermissionError):
            reason = "permission denied; choose another place"
        else:
            reason = (error.strerror or str(error)).lower()
        raise FileError(path, f"cannot be written: {reason}") from error


def check_can_write(path: str | PathLike[str]) -> None:
    """Check that a file or a folder can be created at ``path``, without leaving anything there.

    Raises:
        FileError: it cannot, because its folder, or the nearest one above that exists, cannot be written to.
    """
    with writing(path):
        place = Path(path) if Path(path).is_dir() else Path(path).parent
        while not place.exists() and place != place.parent:
            place = place.parent
        tempfile.TemporaryFile(dir=place).close()

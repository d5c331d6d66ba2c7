"""The labels of a model, with what its file says of each, and the choice of some of them by name, pattern or group."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property

import numpy as np

from audioinceptionnext.errors import ParameterError, suggest
from audioinceptionnext.results.types import Score

GROUP = "group:"  # what the name of a group begins with where labels are chosen
_WILD = frozenset("*?")
_NEAREST = 3  # names that an error suggests
_LISTED = 20  # names that it lists if none is near, of a model with hundreds


@dataclass(frozen=True)
class LabelSet:
    """The labels of a model, in the order of its classes.

    Attributes:
        names: one per class.
        identifiers: one per class, such as AudioSet's ``/m/09x0r``; empty if the model has none.
        groups: the names of groups with their labels, which may be in several groups; empty if there are none.
        thresholds: one onset threshold per class; empty if the model has none.
        tasks: the names and sizes of consecutive parts of the labels, of each of which one is true; empty if there is
            only one task.
        translations: of labels and groups, by which they are found too; what has none is missing.

    Raises:
        ParameterError: they do not fit together.

    >>> labels = LabelSet(("Dog", "Cat", "Waves, surf"), groups={"Animal": ("Dog", "Cat")})
    >>> labels.choose("group:animal, waves, surf", "C*")
    [0, 2]
    """

    names: tuple[str, ...]
    identifiers: tuple[str, ...] = ()
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    thresholds: tuple[float, ...] = ()
    tasks: Mapping[str, int] = field(default_factory=dict)
    translations: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, values in (("identifiers", self.identifiers), ("thresholds", self.thresholds)):
            if len(values) not in (0, len(self.names)):
                raise ParameterError(name, None, f"there are {len(values)} for {len(self.names)} labels; give one each")
        if self.tasks and sum(self.tasks.values()) != len(self.names):
            reason = f"they have {sum(self.tasks.values())} labels in all, but there are {len(self.names)}"
            raise ParameterError("tasks", self.tasks, reason)
        if unknown := {label for members in self.groups.values() for label in members} - set(self.names):
            raise ParameterError("groups", None, f"there is no label {min(unknown)!r}; give labels of the model")

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> LabelSet:
        """The labels that the metadata of an exported file state.

        Raises:
            KeyError, ValueError, TypeError, AttributeError: the metadata are incomplete or damaged.
        """
        groups = json.loads(metadata.get("groups", "{}"))
        return cls(
            names=tuple(json.loads(metadata["labels"])),
            identifiers=tuple(json.loads(metadata.get("identifiers", "[]"))),
            groups={name: tuple(members) for name, members in groups.items()},
            thresholds=tuple(float(value) for value in json.loads(metadata.get("thresholds", "[]"))),
            tasks=dict(json.loads(metadata.get("tasks", "{}"))),
        )

    @property
    def task_of(self) -> dict[str, str]:
        """The name of the task of each label; empty if there are no tasks."""
        of_each = [task for task, size in self.tasks.items() for _ in range(size)]
        return dict(zip(self.names, of_each, strict=False))

    def take(self, columns: Sequence[int]) -> LabelSet:
        """Some of the labels, by their places in ascending order, with what belongs to them."""
        names = tuple(self.names[i] for i in columns)
        kept = set(names)
        groups = {name: tuple(one for one in members if one in kept) for name, members in self.groups.items()}
        ends = np.cumsum([0, *self.tasks.values()])
        sizes = np.diff(np.searchsorted(columns, ends)).tolist()
        return LabelSet(
            names,
            identifiers=tuple(self.identifiers[i] for i in columns) if self.identifiers else (),
            groups={name: members for name, members in groups.items() if members},
            thresholds=tuple(self.thresholds[i] for i in columns) if self.thresholds else (),
            tasks={task: size for task, size in zip(self.tasks, sizes, strict=True) if size},
            translations=self.translations,
        )

    def choose(self, labels: str | Iterable[str] | None = None, ignore: str | Iterable[str] | None = None) -> list[int]:
        """The places of the labels that are chosen and not ignored, in ascending order.

        Args:
            labels: names of labels, patterns such as ``Smoke detector*``, or groups such as ``group:Animal``: a list,
                or a text in which commas separate them. A label that contains commas is recognised whole. Upper and
                lower case are the same. All labels unless given.
            ignore: the same, of labels that are left out. None unless given.

        Raises:
            ParameterError: a name matches no label, or no label is left.
        """
        chosen = set(range(len(self.names))) if labels is None else self._find_all(labels, "labels")
        ignored = set() if ignore is None else self._find_all(ignore, "ignore")
        if not chosen - ignored:
            raise ParameterError("ignore", None, "this leaves no label; ignore fewer of them, or choose others")
        return sorted(chosen - ignored)

    def find(self, name: str) -> list[int]:
        """The places of the labels that a single name, pattern or group stands for; empty if there are none."""
        wanted = _folded(name)
        if exact := self._places.get(wanted):
            return exact
        if wanted.startswith(GROUP):
            groups = [one for one in self.groups if self._is_group(one, wanted.removeprefix(GROUP))]
            members = {label for one in groups for label in self.groups[one]}
            return [i for i, label in enumerate(self.names) if label in members]
        return sorted({place for name, places in self._places.items() if _matches(name, wanted) for place in places})

    def _is_group(self, name: str, wanted: str) -> bool:
        """Whether a group is meant by its name, its translation or a pattern, in lower case."""
        return any(_matches(_folded(one), wanted) for one in (name, self.translations.get(name, name)))

    def is_label(self, name: str) -> bool:
        """Whether a name is that of a label, rather than a pattern or a group."""
        return _folded(name) in self._places

    @cached_property
    def _places(self) -> dict[str, list[int]]:
        """The places of the labels of each name in lower case. What is a label counts before what translates one."""
        found: dict[str, list[int]] = {}
        for place, name in enumerate(self.names):
            found.setdefault(_folded(name), []).append(place)
        translated = {place: _folded(self.translations.get(name, name)) for place, name in enumerate(self.names)}
        return {text: [place] for place, text in translated.items()} | found

    def nearest(self, name: str) -> str:
        """What to give instead of a name that `find` does not know, for the end of an error."""
        translated = (self.translations[one] for one in self.names if one in self.translations)
        wanted, known = _folded(name), [*self.names, *translated]
        if wanted.startswith(GROUP):
            wanted = wanted.removeprefix(GROUP)
            known = [*self.groups, *(self.translations[one] for one in self.groups if one in self.translations)]
            if not known:
                return "this model has no groups"
        by_folded = {_folded(one): one for one in known}
        within = [one for one in by_folded if wanted and wanted in one][:_NEAREST]
        near = within or difflib.get_close_matches(wanted, by_folded, _NEAREST)
        if len(near) > 1:
            return f"did you mean {', '.join(by_folded[one] for one in near[:-1])} or {by_folded[near[-1]]}?"
        return f"did you mean {by_folded[near[0]]}?" if near else suggest(wanted, known, _LISTED)

    def ranked(self, probabilities: np.ndarray, top_k: int) -> list[Score]:
        """The labels with the highest probabilities, (classes,), best first; ``top_k`` of each task."""
        found: list[Score] = []
        first = 0
        parts: list[tuple[str | None, int]] = [*self.tasks.items()] or [(None, len(self.names))]
        for task, size in parts:
            best = first + np.argsort(-probabilities[first : first + size], kind="stable")[:top_k]
            found += [Score(self.names[i], float(probabilities[i]), task) for i in best]
            first += size
        return found

    def _find_all(self, names: str | Iterable[str], parameter: str) -> set[int]:
        found = {place for name in self.split(names) for place in self.find_or_raise(name, parameter)}
        if not found:
            raise ParameterError(parameter, None, "give the name of a label, a pattern or a group")
        return found

    def find_or_raise(self, name: str, parameter: str) -> list[int]:
        """The same as `find`, with an error for ``parameter`` in place of an empty list."""
        if not (found := self.find(name)):
            kind = "group" if _folded(name).startswith(GROUP) else "label"
            raise ParameterError(parameter, None, f"no {kind} matches {name[:100]!r}; {self.nearest(name[:100])}")
        return found

    def split(self, names: str | Iterable[str]) -> list[str]:
        """The single names, patterns and groups of what `choose` takes, each once."""
        texts = [names] if isinstance(names, str) else names
        return list(dict.fromkeys(name for text in texts for name in self._split(text)))

    def _split(self, text: str) -> list[str]:
        """The names that commas separate. At each place, the longest one that is a label or a group counts."""
        groups = {_folded(GROUP + text) for one in self.groups for text in (one, self.translations.get(one, one))}
        whole = self._places.keys() | groups
        most = max((len(name.split(",")) for name in whole), default=1)  # parts of a name
        parts = text.split(",")
        found: list[str] = []
        while parts:
            ends = range(min(most, len(parts)), 0, -1)
            end = next((end for end in ends if _folded(",".join(parts[:end])) in whole), 1)
            found.append(",".join(parts[:end]).strip())
            del parts[:end]
        return [one for one in found if one]


def _folded(text: str) -> str:
    """The same for all ways of writing a name: ``Waves,surf`` is ``waves, surf``."""
    return re.sub(r"\s*([,:])\s*", r"\1", " ".join(text.split())).casefold()


def _matches(name: str, pattern: str) -> bool:
    """Whether a name is what a pattern stands for, both in lower case."""
    return name == pattern or (bool(_WILD & set(pattern)) and fnmatchcase(name, pattern.replace("[", "[[]")))

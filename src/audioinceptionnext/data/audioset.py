"""AudioSet's ontology: which groups its labels belong to.

The ontology is by J. F. Gemmeke et al. ("Audio Set: An ontology and human-labeled dataset for audio events", ICASSP
2017), under CC BY 4.0. ``audioset_ontology.tsv`` holds the part of it that groups need.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from audioinceptionnext.errors import ParameterError


@cache
def _categories() -> dict[str, tuple[str, tuple[str, ...]]]:
    """The name and the children of each category that has children, by its identifier."""
    text = (files("audioinceptionnext.data") / "audioset_ontology.tsv").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    return {identifier: (name, tuple(children.split(" "))) for identifier, name, children in rows}


def audioset_groups(labels: Sequence[str], identifiers: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The categories of AudioSet that have at least two of these labels, which they may be themselves.

    Args:
        labels: names, in the order of a model's classes.
        identifiers: AudioSet's, one per label, such as ``/m/09x0r``.

    Returns:
        The names of the categories with their labels, for `StoredModel.groups`. Both are in the order in which the
        ontology and ``labels`` list them.

    Raises:
        ParameterError: AudioSet has no such identifier.

    >>> audioset_groups(["Dog", "Bark", "Speech"], ["/m/0bt9lr", "/m/05tny_", "/m/09x0r"])
    {'Animal': ('Dog', 'Bark'), 'Domestic animals, pets': ('Dog', 'Bark'), 'Dog': ('Dog', 'Bark')}
    """
    categories = _categories()
    known = categories.keys() | {child for _, children in categories.values() for child in children}
    for identifier in identifiers:
        if identifier not in known:
            raise ParameterError("identifiers", identifier, "AudioSet has no such category; give one such as /m/09x0r")

    def below(identifier: str) -> set[str]:
        children = categories[identifier][1] if identifier in categories else ()
        return {identifier}.union(*map(below, children))

    named = list(zip(labels, identifiers, strict=True))
    groups = {
        name: tuple(label for label, own in named if own in members)
        for identifier, (name, _) in categories.items()
        if (members := below(identifier))
    }
    return {name: members for name, members in groups.items() if len(members) > 1}

"""Which fonts of this computer can write the labels of a picture. matplotlib's own lacks, for instance, Japanese."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache

_PLACEHOLDERS = ("Last Resort", "LastResort")  # have a box for every letter; one of them comes with matplotlib


def families_for(texts: Iterable[str]) -> list[str] | None:
    """The font families with which matplotlib can write these texts; None if no font here has all letters.

    >>> families_for(["Hund", "Vogel"])
    ['sans-serif']
    """
    from matplotlib import rcParams

    usual = list(rcParams["font.family"])
    missing = _missing("".join(sorted({letter for text in texts for letter in text if letter.isprintable()})))
    if not missing:
        return usual
    other = _font_with(missing)
    return None if other is None else [*usual, other]


@contextmanager
def quiet_fonts() -> Iterator[None]:
    """Suppress what matplotlib says of each letter that the font lacks, which becomes a box, and of missing weights."""
    log = logging.getLogger("matplotlib.font_manager")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing from")
            yield
    finally:
        log.setLevel(level)


@lru_cache
def _missing(letters: str) -> str:
    """Which letters the usual font lacks."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties()))
    return "".join(letter for letter in letters if not font.get_char_index(ord(letter)))


@lru_cache
def _font_with(letters: str) -> str | None:
    """The family of a font that has all of these letters, an upright one of usual weight if there is one."""
    from matplotlib.font_manager import fontManager, get_font

    kana = any("\u3040" <= letter <= "\u30ff" for letter in letters)  # many letters look different in Chinese fonts

    def rank(name: str, style: str, weight: object) -> tuple[bool, ...]:
        usual = style == "normal" and weight in (400, "normal", "regular")
        return not usual, "Serif" in name or "Mono" in name, kana and "JP" not in name

    for font in sorted(fontManager.ttflist, key=lambda one: rank(one.name, one.style, one.weight)):
        if font.name.startswith(_PLACEHOLDERS):
            continue
        try:
            found = get_font(font.fname)
            if all(found.get_char_index(ord(letter)) for letter in letters):
                return font.name
        except (OSError, RuntimeError):  # the file is gone or damaged
            continue
    return None

"""What Python chooses of the labels of a model, for choice.test.js. A part of fixtures.py."""

from __future__ import annotations

import json
from pathlib import Path

from audioinceptionnext.results.labels import LabelSet


def labels(folder: Path) -> None:
    """What Python chooses of labels, some of which contain commas."""
    names = (
        "Speech",
        "Dog",
        "Cat",
        "Waves, surf",
        "Smoke detector, smoke alarm",
        "Smoke (odd)",
        "Tick-tock",
        "Horn [short]",
    )
    groups = {"Animal": ("Dog", "Cat"), "Alarm, warning": ("Smoke detector, smoke alarm", "Tick-tock")}
    chosen = LabelSet(names, groups=groups)
    texts = ["Dog", "dog, WAVES, surf", "group:animal", "Smoke*", "group:a*", "?at", "*(odd)"]
    texts += ["group: Alarm, warning,Speech", "waves,surf", "group : Alarm ,warning", "*[short]"]
    pairs = [(one, None) for one in texts] + [(None, one) for one in texts] + [("*", "Tick-tock,group:Animal")]
    cases = [
        {"labels": one, "ignore": other, "chosen": [names[i] for i in chosen.choose(one, other)]}
        for one, other in pairs
    ]
    (folder / "labels.json").write_text(json.dumps({"model": {"labels": names, "groups": groups}, "cases": cases}))

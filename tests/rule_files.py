"""Rules files for the tests."""

from __future__ import annotations

from pathlib import Path

from audioinceptionnext.results.labels import LabelSet

LABELS = LabelSet(("Dog", "Cat", "Waves, surf", "Smoke detector"), groups={"Animal": ("Dog", "Cat")})


def written(path: Path, *lines: str) -> Path:
    """A rules file with one rule: these lines in place of its labels and actions, as far as they have them."""
    has = {line.split(":")[0] for line in lines}
    rest = [line for line in ("labels: Dog", "actions: [print]") if line.split(":")[0] not in has]
    body = "\n".join(f"    {line}" for line in [*lines, *rest])
    path.write_text(f"rules:\n  - name: Mine\n{body}\n")
    return path

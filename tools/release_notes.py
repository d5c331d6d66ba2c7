"""Check that a tag can be released, and print its section of the changelog.

    python tools/release_notes.py v0.1.0

Exits with one line that says what is wrong if the tag is not the version in pyproject.toml, or if CHANGELOG.md has no
section ``## [0.1.0] - DATE`` with a text. Needs nothing but Python.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit("give one tag, such as v0.1.0")
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    print(release_notes(sys.argv[1], ROOT))


def release_notes(tag: str, root: Path) -> str:
    """The text of the tag's section in ``root/CHANGELOG.md``, without its heading.

    Raises:
        SystemExit: with the reason why this tag cannot be released.
    """
    version = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    if tag != f"v{version}":
        raise SystemExit(f"{tag}: pyproject.toml has version {version}, so the tag must be v{version}")
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    heading = rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$"
    found = re.search(rf"{heading}(.*?)(?=^## |^\[[^\]]+\]: |\Z)", changelog, re.MULTILINE | re.DOTALL)
    if not found:
        raise SystemExit(f"CHANGELOG.md has no heading '## [{version}] - YYYY-MM-DD'; rename 'Unreleased'")
    if not found[1].strip():
        raise SystemExit(f"CHANGELOG.md says nothing about {version}")
    return found[1].strip()


if __name__ == "__main__":
    main()

"""What the release workflow relies on: a tag, a version and a section of the changelog that belong together."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.release_notes import release_notes

CHANGELOG = """# Changelog

## [Unreleased]

## [1.2.0] - 2027-01-31

### Added

- One thing.

## [1.1.0] - 2026-12-24

- Another thing.

[1.2.0]: https://example.org
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG, encoding="utf-8")
    return tmp_path


def version(root: Path, name: str) -> None:
    (root / "pyproject.toml").write_text(f'[project]\nversion = "{name}"\n', encoding="utf-8")


def test_the_notes_of_a_release_are_its_section(root: Path) -> None:
    version(root, "1.2.0")
    assert release_notes("v1.2.0", root) == "### Added\n\n- One thing."
    version(root, "1.1.0")
    assert release_notes("v1.1.0", root) == "- Another thing."


@pytest.mark.parametrize(
    ("tag", "released", "reason"),
    [
        ("v1.2.1", "1.2.0", "v1.2.1: pyproject.toml has version 1.2.0"),
        ("1.2.0", "1.2.0", "the tag must be v1.2.0"),
        ("v1.3.0", "1.3.0", r"no heading '## \[1.3.0\]"),
        ("v1.2", "1.2", r"no heading '## \[1.2\]"),
    ],
)
def test_a_tag_that_cannot_be_released(root: Path, tag: str, released: str, reason: str) -> None:
    version(root, released)
    with pytest.raises(SystemExit, match=reason):
        release_notes(tag, root)


def test_an_empty_section_cannot_be_released(root: Path) -> None:
    version(root, "1.1.0")
    changelog = root / "CHANGELOG.md"
    changelog.write_text(CHANGELOG.replace("- Another thing.", ""), encoding="utf-8")
    with pytest.raises(SystemExit, match=r"says nothing about 1\.1\.0"):
        release_notes("v1.1.0", root)

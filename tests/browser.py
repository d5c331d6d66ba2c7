"""The page in a real browser: opening it, giving it a file, and reading its table."""

from __future__ import annotations

import base64
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

UNPACKED = Path(sys.prefix) / "chromium" / "chromium"
SMALL = "kitchen20-small"
SCENE = Path(__file__).parents[1] / "examples" / "kitchen-scene.flac"
# The events of a file that is dropped from a folder.
DROP = """async ([name, type, bytes]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0))], name, { type }));
  for (const kind of ["dragover", "drop"])
    document.body.dispatchEvent(new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }));
}"""


def program(*names: str | Path) -> str | None:
    """The path of the first of these programs that is in this environment or on the PATH."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return next((found for name in names if (found := shutil.which(name, path=path))), None)


def chromium() -> str | None:
    """The path of CHROMIUM, of the system's browser, or of the one that tests/get_chromium.py unpacked."""
    return os.environ.get("CHROMIUM") or program("chromium", "chromium-browser", "google-chrome", UNPACKED)


def opened(browser: Any, url: str, **options: Any) -> Iterator[Any]:
    context = browser.new_context(accept_downloads=True, **options)
    page = context.new_page()
    page.set_default_timeout(60_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))

    def note(request: Any) -> None:
        if not request.url.startswith("blob:") and request.failure != "net::ERR_ABORTED":  # by the page itself
            errors.append(request.url)

    page.on("requestfailed", note)
    page.goto(url)
    yield page
    context.close()
    assert not errors


def until(page: Any, expression: str) -> None:
    """Wait until an expression is true. Playwright's own wait evaluates text in the page, which its policy forbids."""
    for _ in range(600):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"{expression} is not true within 30 s")


def drop(page: Any, path: Path, kind: str = "audio/flac") -> None:
    until(page, "!document.getElementById('model').disabled")
    page.evaluate(DROP, [path.name, kind, base64.b64encode(path.read_bytes()).decode()])


def rows(page: Any) -> list[list[str]]:
    page.wait_for_selector("#result tbody tr")
    found = page.eval_on_selector_all(
        "#result tbody tr", "rows => rows.map(r => [...r.cells].slice(1).map(c => c.innerText))"
    )
    return [[cell.replace("\u00a0", " ") for cell in row] for row in found]

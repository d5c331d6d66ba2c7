"""The page without a server, built by Vite: the model in the browser gives the segments of the command line."""

from __future__ import annotations

import functools
import http.server
import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from audioinceptionnext.audio import decode
from tests.audio_files import encode, write_wav
from tests.browser import SCENE, SMALL, drop, opened, program, rows
from tests.command import ainext

pytestmark = [pytest.mark.needs("chromium", "node"), pytest.mark.timeout(300)]
WEB = Path(__file__).parents[1] / "web"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a built copy in a subfolder of a static host."""
    folder = tmp_path_factory.mktemp("host")
    where = str(folder / "some" / "place")
    command = [program("node"), "node_modules/vite/bin/vite.js", "build", "--outDir", where, "--emptyOutDir"]
    subprocess.run(command, cwd=WEB, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    handler = functools.partial(QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/some/place/"
        server.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


def test_segments_in_the_browser_are_those_of_the_command_line(browser: Any, address: str, tmp_path: Path) -> None:
    scene = decode.read(SCENE, 44_100)
    write_wav(tmp_path / "scene.wav", scene, 44_100)  # a rate other than the model's
    encode(tmp_path / "scene.mp3", scene, 44_100)
    requests: list[str] = []
    for page in opened(browser, address):
        page.on("request", lambda request: requests.append(request.url))
        for file, kind in ((tmp_path / "scene.wav", "audio/wav"), (tmp_path / "scene.mp3", "audio/mpeg")):
            wanted = ainext("predict", file, "--model", SMALL, "--json").json[0]
            page.wait_for_selector(f"#model option[value={SMALL}]", state="attached")
            page.select_option("#model", SMALL)
            drop(page, file, kind)
            page.get_by_role("heading", name=file.name).wait_for()
            assert len(rows(page)) == len(wanted["segments"])
            with page.expect_download() as saved:
                page.get_by_role("button", name="JSON").click()
            result = json.loads(Path(saved.value.path()).read_text())
            assert [s["label"] for s in result["segments"]] == [s["label"] for s in wanted["segments"]]
            for one, other in zip(result["segments"], wanted["segments"], strict=True):
                for name in ("start", "end", "score"):
                    assert one[name] == pytest.approx(other[name], abs=1e-3)
            for one, other in zip(result["clip"], wanted["clip"], strict=True):
                assert one["label"] == other["label"] and one["score"] == pytest.approx(other["score"], abs=1e-3)
            page.reload()
    assert requests and all(url.startswith((address, "blob:", "data:")) for url in requests)


def test_the_microphone_is_recognised_in_the_browser(browser: Any, address: str) -> None:
    for page in opened(browser, address):
        page.wait_for_selector(f"#model option[value={SMALL}]", state="attached")
        page.select_option("#model", SMALL)
        page.get_by_role("button", name="Use the microphone").click()
        page.wait_for_selector("#live .ended li")
        page.get_by_role("button", name="Stop").click()
        assert "water flowing" in [row[2] for row in rows(page)]

"""The page without a server, built by Vite: the model in the browser gives the segments of the command line."""

from __future__ import annotations

import functools
import http.server
import json
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import audioinceptionnext as ain
from audioinceptionnext.audio import decode
from tests.audio_files import encode, write_piped, write_video, write_wav, write_with_pause
from tests.browser import SCENE, SMALL, chromium, drop, opened, program, rows
from tests.command import ainext
from tests.teaching_page import TeachView, browser_that_records_beeps, write_sounds

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


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scene in files that are easily misread: a late start, a pause, no stated length, a damaged end."""
    folder = tmp_path_factory.mktemp("recordings")
    scene, scene_at_48000 = decode.read(SCENE, 44_100), decode.read(SCENE, 48_000)
    write_wav(folder / "scene.wav", scene, 44_100)  # a rate other than the model's
    encode(folder / "scene.mp3", scene, 44_100)
    write_video(folder / "late.mp4", samples=scene_at_48000, seconds=32, delay=3)
    write_video(folder / "late.webm", samples=scene_at_48000, seconds=32, delay=3)
    write_with_pause(folder / "pause.m4a", scene_at_48000, 48_000, start=9, seconds=2.5)
    write_with_pause(folder / "pause.mkv", scene_at_48000, 48_000, start=9, seconds=2.5)
    write_piped(folder / "piped-late.webm", folder / "late.webm")
    write_piped(folder / "piped-pause.mkv", folder / "pause.mkv")
    content = (folder / "scene.mp3").read_bytes()
    (folder / "cut.mp3").write_bytes(content[: 2 * len(content) // 3 + 100])
    wav = bytearray((folder / "scene.wav").read_bytes())
    wav[4:8] = wav[40:44] = b"\xff\xff\xff\xff"
    (folder / "piped.wav").write_bytes(wav)
    return folder


def test_segments_in_the_browser_are_those_of_the_command_line(browser: Any, address: str, recordings: Path) -> None:
    files = sorted(recordings.iterdir())
    wanted = ainext("predict", *files, "--model", SMALL, "--json").json
    requests: list[str] = []
    for page in opened(browser, address):
        page.on("request", lambda request: requests.append(request.url))
        page.wait_for_selector(f"#model option[value={SMALL}]", state="attached")
        page.select_option("#model", SMALL)
        for file, expected in zip(files, wanted, strict=True):
            drop(page, file, "application/octet-stream")
            page.get_by_role("heading", name=file.name).wait_for()
            assert len(rows(page)) == len(expected["segments"]) > 0
            with page.expect_download() as saved:
                page.locator("#result").get_by_role("button", name="JSON").click()
            result = json.loads(Path(saved.value.path()).read_text())
            # Two decoders of Opus differ a little, and WebM rounds times to milliseconds.
            tolerance = 5e-3 if file.suffix == ".webm" else 1e-3
            assert result["duration"] == pytest.approx(expected["duration"], abs=tolerance)
            for part in ("segments", "clip"):
                assert [one["label"] for one in result[part]] == [one["label"] for one in expected[part]], file.name
                for one, other in zip(result[part], expected[part], strict=True):
                    for name in one.keys() - {"label"}:
                        assert one[name] == pytest.approx(other[name], abs=tolerance), file.name
    assert requests and all(url.startswith((address, "blob:", "data:")) for url in requests)


def test_the_page_says_that_a_file_ends_early(browser: Any, address: str, recordings: Path) -> None:
    for page in opened(browser, address):
        page.wait_for_selector(f"#model option[value={SMALL}]", state="attached")
        page.select_option("#model", SMALL)
        drop(page, recordings / "cut.mp3", "audio/mpeg")
        page.get_by_text(re.compile(r"Warning: ends early: decoded \d+\.\d s of 29\.\d s\.")).wait_for()


def test_cancelling_ends_at_once_and_the_next_file_is_recognised(browser: Any, address: str, recordings: Path) -> None:
    for page in opened(browser, address):
        page.wait_for_selector(f"#model option[value={SMALL}]", state="attached")
        drop(page, recordings / "scene.wav", "audio/wav")
        page.get_by_role("button", name="Cancel scene.wav").click()
        page.get_by_text("Cancelled.").wait_for()
        page.select_option("#model", SMALL)
        drop(page, recordings / "scene.mp3", "audio/mpeg")
        page.get_by_role("heading", name="scene.mp3").wait_for()


def test_files_are_queued_and_thresholds_act_at_once(browser: Any, address: str, recordings: Path) -> None:
    scene, cut = recordings / "scene.wav", recordings / "cut.mp3"
    for page in opened(browser, address):
        page.wait_for_selector(f"#model option[value={SMALL}]", state="attached")
        page.select_option("#model", SMALL)
        page.set_input_files("#file", [scene, cut, recordings / "scene.mp3"])
        page.get_by_role("button", name="Cancel scene.mp3").click()
        page.locator(".entry[data-state=done]").nth(1).wait_for()
        states = [one.get_attribute("data-state") for one in page.locator(".entry").all()]
        assert states == ["done", "done", "cancelled"]
        assert page.locator("#result h2").inner_text() == "scene.wav"
        assert page.get_by_role("button", name="Copy the link").count() == 0  # no server keeps it
        for threshold in ("0.05", "0.2", "0.9"):
            page.get_by_label("Onset threshold").fill(threshold)
            page.wait_for_timeout(100)
            with page.expect_download() as saved:
                page.locator("#result").get_by_role("button", name="JSON").click()
            found = json.loads(Path(saved.value.path()).read_text())["segments"]
            wanted = ainext("predict", scene, "-m", SMALL, "--json", "--threshold", threshold).json[0]["segments"]
            assert [one["label"] for one in found] == [one["label"] for one in wanted] and wanted
            for one, other in zip(found, wanted, strict=True):
                for name in ("start", "end", "score"):
                    assert one[name] == pytest.approx(other[name], abs=1e-3)


def test_without_decoders_the_page_says_what_to_do(browser: Any, address: str, recordings: Path) -> None:
    """Browsers have no decoders on pages that come over http from another computer."""
    arguments = ["--no-sandbox", "--host-resolver-rules=MAP page.test 127.0.0.1"]
    with browser.browser_type.launch(executable_path=chromium(), args=arguments) as one:
        for page in opened(one, address.replace("127.0.0.1", "page.test")):
            page.wait_for_selector(f"#model option[value={SMALL}]", state="attached")
            page.select_option("#model", SMALL)
            drop(page, recordings / "scene.mp3", "audio/mpeg")
            problem = page.locator(".entry").get_by_text(
                "scene.mp3: this browser decodes only WAV files here: open the page"
            )
            problem.wait_for()
            drop(page, recordings / "scene.wav", "audio/wav")
            page.get_by_role("heading", name="scene.wav").wait_for()


def test_the_microphone_is_recognised_in_the_browser(browser: Any, address: str) -> None:
    for page in opened(browser, address):
        page.wait_for_selector(f"#model option[value={SMALL}]", state="attached")
        page.select_option("#model", SMALL)
        page.get_by_role("button", name="Use the microphone").click()
        page.wait_for_selector("#live .ended li")
        page.get_by_role("button", name="Stop").click()
        assert "water flowing" in [row[2] for row in rows(page)]


def test_a_sound_is_taught_from_the_microphone_and_recognised_at_once(
    browser: Any, address: str, tmp_path: Path
) -> None:
    sounds = write_sounds(tmp_path)
    with browser_that_records_beeps(browser, tmp_path) as one:
        for page in opened(one, address):
            view = TeachView(page, SMALL)
            view.name("Beep")
            view.record("Beep", 6.2)
            assert view.examples("Beep") == 5 and view.wanted().startswith("Still wanted: a minute of nothing")
            view.add("Nothing", sounds / "room.wav")
            assert view.examples("Nothing") == 13
            said = view.teach()
            assert "100 %\n\nof 18 examples" in said and "Recorded in one go: Beep, Nothing." in said
            mine = view.download(tmp_path)
            page.get_by_role("button", name="Use it now").click()
            page.get_by_role("button", name="Use the microphone").click()
            page.locator("#live .score.now", has_text="Beep").wait_for()

    # Every command takes the file, and finds the same sound with it.
    model = ain.load(mine)
    assert model.name == "my-sounds" and model.labels == ("Beep",) and 0.5 <= model.thresholds[0] <= 0.9
    found = ainext("predict", tmp_path / "microphone.wav", sounds / "room.wav", "--model", mine, "--json").json
    assert {one["label"] for one in found[0]["segments"]} == {"Beep"} and not found[1]["segments"]


def test_examples_are_looked_at_kept_and_deleted(browser: Any, address: str, tmp_path: Path) -> None:
    sounds = write_sounds(tmp_path)
    sirens = sorted(sounds.glob("siren *.wav"))
    for page in opened(browser, address):
        view = TeachView(page, SMALL)
        view.name("Siren")
        view.add("Siren", *sirens[:3], *(sounds / name for name in ("silence.wav", "clipped.wav", "notes.txt")))
        lines = view.card("Siren").get_by_role("alert").locator("p").all_inner_texts()
        assert [line.split(":")[0] for line in lines] == ["silence.wav", "clipped.wav", "notes.txt"]
        assert "silent" in lines[0] and "clipped" in lines[1] and "not a recording" in lines[2]
        assert view.wanted() == "Still wanted: 1 more example of Siren."
        page.get_by_role("button", name="Delete example 1 of Siren").click()
        page.get_by_text("Example deleted.").wait_for()
        assert view.examples("Siren") == 3
        page.get_by_role("button", name="Undo").click()
        page.reload()
        view.card("Siren").locator(".examples li").nth(3).wait_for()
        view.add("Siren", *sirens[3:])
        page.get_by_role("button", name="Add a sound").click()
        for name, problem in (("siren ", "has this name"), ("Nothing", "everything else"), ("  ", "letters or digits")):
            view.name(name)
            page.get_by_text(problem).wait_for()
        page.get_by_role("button", name="Remove").last.click()
        assert view.wanted().startswith("Still wanted: a minute of nothing, or a second sound")
        page.get_by_label("Name of the model").fill("../etc")
        view.add("Nothing", sounds / "room.wav")
        assert view.wanted().startswith("A model’s name begins with a letter")
        page.get_by_label("Name of the model").fill(SMALL)
        assert view.wanted() == f"A model is called {SMALL} already: choose another name."


def test_the_built_page_has_the_names_of_all_languages(browser: Any, address: str) -> None:
    for page in opened(browser, address, locale="ja-JP"):
        page.wait_for_selector("#model:not([disabled])")
        assert page.input_value("#language") == "ja"
        page.select_option("#model", SMALL)
        assert ain.load(SMALL).label_names("ja")["clean-dishes"] in page.inner_text("#labels")
        for language in ain.list_languages():
            page.select_option("#language", language)
            name = ain.load(SMALL).label_names(language)["book"]
            page.wait_for_function("(name) => document.getElementById('labels').textContent.includes(name)", arg=name)

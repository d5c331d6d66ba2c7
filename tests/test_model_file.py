"""The model file answers by itself: any program with ONNX Runtime reads from it the probabilities that Python gives."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from audioinceptionnext.audio import decode
from audioinceptionnext.models.load import load
from audioinceptionnext.models.names import model_entries

ROOT = Path(__file__).parents[1]
SHIPPED = {entry.name: entry for entry in model_entries()}


def waveforms(rate: int, quiet: int = 3) -> dict[str, np.ndarray]:
    """Digital silence, faint and loud noise, a clip, and a clip with silence before and after it."""
    clip = decode.read(ROOT / "examples" / "kitchen-scene.flac", rate)[: 5 * rate]
    noise = np.random.default_rng(0).standard_normal(4 * rate).astype(np.float32)
    silence = np.zeros(quiet * rate, np.float32)
    around = np.concatenate([silence, clip, silence])
    return {"zeros": silence, "faint": 1e-4 * noise, "noise": 0.1 * noise, "clip": clip, "around": around}


@pytest.mark.parametrize("name", SHIPPED)
def test_the_bare_file_gives_the_probabilities_of_python(name: str) -> None:
    session, recogniser = ort.InferenceSession(SHIPPED[name].read()), load(name)
    for kind, waveform in waveforms(recogniser.sample_rate, 6 if name == "esc10" else 3).items():  # more than a window
        inputs = {"waveform": waveform[None]}
        probabilities, logits, features, log_mel = session.run(
            ["probabilities", "logits", "features", "log_mel"], inputs
        )
        assert probabilities.shape == logits.shape == (1, len(probabilities[0]), len(recogniser.labels))
        assert features.shape == (*logits.shape[:2], int(recogniser.metadata["features"])) and log_mel.ndim == 3
        expected = recogniser.predict(waveform)
        np.testing.assert_allclose(probabilities[0], expected.window_probabilities, rtol=0, atol=1e-5, err_msg=kind)
        timeline = probabilities
        if "timeline_step_frames" in recogniser.metadata:
            (timeline,) = session.run(["timeline"], inputs)
        np.testing.assert_allclose(timeline[0], expected.probabilities, rtol=0, atol=1e-5, err_msg=kind)
        sums = np.ones(len(logits[0])) if recogniser.multi_label else probabilities[0].sum(axis=1)
        if kind == "zeros":
            assert not probabilities.any()
        elif kind == "around":  # nothing in the windows that lie in the silence
            assert not probabilities[0, [0, -1]].any()
            assert recogniser.multi_label or np.isclose(sums, 1, atol=1e-5).sum() > 10
        else:
            np.testing.assert_allclose(sums, 1, atol=1e-5)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_bare_file_loads_without_a_warning(name: str) -> None:
    code = f"import onnxruntime; onnxruntime.InferenceSession({str(SHIPPED[name].path)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not done.stdout and not done.stderr


@pytest.mark.parametrize("name", SHIPPED)
def test_the_file_says_what_it_is(name: str) -> None:
    session = ort.InferenceSession(SHIPPED[name].read())
    metadata, described = session.get_modelmeta().custom_metadata_map, SHIPPED[name].description
    assert [one.name for one in session.get_inputs()] == ["waveform"]
    assert (metadata["kind"], metadata["mode"]) == (described.get("kind", "single-label"), described["mode"])
    assert json.loads(metadata["labels"]) == described["labels"] == list(load(name).labels)


# Runs a file bare, in the page: nothing but onnxruntime-web.
IN_THE_BROWSER = """async (kinds) => {
  const ort = await import("/ort.wasm.min.mjs");
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = "/";
  const read = async (name) => await (await fetch(name)).arrayBuffer();
  const session = await ort.InferenceSession.create(new Uint8Array(await read("/model.onnx")), { logSeverityLevel: 4 });
  const found = {};
  for (const kind of kinds) {
    const samples = new Float32Array(await read(`/${kind}.f32`));
    const waveform = new ort.Tensor("float32", samples, [1, samples.length]);
    const { probabilities } = await session.run({ waveform }, ["probabilities"]);
    found[kind] = [probabilities.dims, [...probabilities.data]];
  }
  return found;
}"""


@pytest.mark.needs("chromium", "node")
@pytest.mark.parametrize("name", SHIPPED)
def test_the_bare_file_gives_the_same_in_a_browser(name: str, browser: Any, tmp_path: Path) -> None:
    recogniser = load(name)
    sounds = waveforms(recogniser.sample_rate)
    for kind, waveform in sounds.items():
        (tmp_path / f"{kind}.f32").write_bytes(waveform.astype("<f4").tobytes())
    (tmp_path / "model.onnx").write_bytes(SHIPPED[name].read())
    (tmp_path / "page.html").write_text("<!doctype html>")
    runtime = ROOT / "web" / "node_modules" / "onnxruntime-web" / "dist"

    def serve(route: Any) -> None:
        file = route.request.url.rpartition("/")[2]
        route.fulfill(path=(tmp_path if (tmp_path / file).is_file() else runtime) / file)

    page = browser.new_page()
    page.route("**/*", serve)
    page.goto("http://localhost/page.html")
    found = page.evaluate(IN_THE_BROWSER, list(sounds))
    page.close()
    for kind, waveform in sounds.items():
        shape, values = found[kind]
        expected = recogniser.predict(waveform).window_probabilities
        np.testing.assert_allclose(np.reshape(values, shape)[0], expected, rtol=0, atol=1e-5, err_msg=kind)

"""`Recogniser.embed`, which gives one vector per recording, and the two examples that use it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from audioinceptionnext.errors import MediaError, ParameterError
from audioinceptionnext.inference import steps as module
from audioinceptionnext.models.load import load
from audioinceptionnext.rendering import draw, render
from tests.audio_files import pink, write_wav

RATE = 24_000
EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six rendered recordings of each of three kinds, in one subfolder per kind."""
    folder = tmp_path_factory.mktemp("sounds")
    wanted = {"hum": 6, "hiss": 6, "beep": 6}
    for seed in range(1000):
        kind = draw(np.random.default_rng(seed))[2].split()[0]
        if wanted.get(kind, 0):
            wanted[kind] -= 1
            (folder / kind).mkdir(exist_ok=True)
            write_wav(folder / kind / f"{seed}.wav", render(seed, 2.2, RATE)[0], RATE)
    assert not any(wanted.values())
    return folder


@pytest.mark.parametrize("mode", ["dense", "windows", "clips"])
def test_a_vector_is_the_mean_over_the_steps(
    files: dict[str, Path], mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks give the features of one pass over the whole recording; digital silence does not count."""
    model = load(files["dense" if mode == "clips" else mode], mode=mode)
    sound = np.concatenate([pink(10 * RATE, RATE), np.zeros(8 * RATE, np.float32)])
    (expected,) = model._session.run(["features"], {"waveform": sound[None]})
    monkeypatch.setitem(module.BLOCK_FRAMES, "dense", 500)
    monkeypatch.setitem(module.BLOCK_FRAMES, "windows", 500)
    steps = model.embed_steps(sound)
    loud = model.predict(sound).probabilities.any(axis=1)
    assert steps.shape == (len(loud), 128) and 0 < loud.sum() < len(loud)
    assert not steps[~loud].any()
    if mode != "clips":  # in which each step sees its own clip only
        np.testing.assert_allclose(steps[loud], expected[0][loud], atol=2e-3)
    assert model.embed(sound).dtype == np.float32
    np.testing.assert_allclose(model.embed(sound)[0], steps[loud].mean(axis=0), rtol=1e-4, atol=1e-6)
    assert len(model.embed_steps(sound, step_seconds=2 * model.step_seconds)) == -(-len(steps) // 2)
    assert model.embed(np.zeros(RATE, np.float32)).tolist() == [[0.0] * 128]


def test_recordings_of_all_kinds(files: dict[str, Path], tmp_path: Path) -> None:
    model = load(files["dense"])
    waves = np.stack([pink(3 * RATE, RATE, seed) for seed in range(3)])
    names = [str(write_wav(tmp_path / f"{seed}.wav", wave, RATE)) for seed, wave in enumerate(waves)]
    many = model.embed(names)
    assert many.shape == (3, 128)
    for same in (np.array(names), np.array(names, object), map(Path, names), [names[0], waves[1], Path(names[2])]):
        np.testing.assert_allclose(model.embed(same), many, atol=2e-2)  # 16 bits
    np.testing.assert_array_equal(model.embed(names[1]), many[1:2])
    np.testing.assert_array_equal(model.embed(waves), np.concatenate([model.embed(wave) for wave in waves]))
    assert model.embed([]).shape == (0, 128)


def test_an_array_of_channels_is_not_many_recordings(files: dict[str, Path]) -> None:
    model = load(files["dense"])
    stereo = np.random.default_rng(0).standard_normal((24_000, 2)).astype(np.float32) / 10
    for wrong in (stereo, (stereo[:, :1] * 1000).astype(np.int16)):
        with pytest.raises(ParameterError, match=r"^recordings: an array of shape \(24000, \d\) is .* give \[array\]"):
            model.embed(wrong)
    assert model.embed([stereo]).shape == model.embed(stereo[:, :1].T).shape


def test_embedding_that_fails(files: dict[str, Path], tmp_path: Path) -> None:
    model = load(files["dense"])
    good = write_wav(tmp_path / "good.wav", pink(RATE, RATE), RATE)
    (tmp_path / "bad.wav").write_text("not sound")
    with pytest.raises(MediaError, match=r"bad\.wav: "):
        model.embed([good, tmp_path / "bad.wav"])


def test_a_pipeline_of_scikit_learn(sounds: Path) -> None:
    """A pipeline copies its parts, and splits lists of names."""
    names = sorted(str(path) for path in sounds.rglob("*.wav"))
    kinds = [Path(name).parent.name for name in names]
    embed = load("rendered", threads=1).embed
    pipeline = make_pipeline(FunctionTransformer(embed), LogisticRegression(max_iter=300))
    assert cross_val_score(pipeline, names, kinds, cv=2).mean() > 0.6  # chance is a third


def test_shipped_models_embed_without_torch(sounds: Path) -> None:
    code = (
        "import sys, audioinceptionnext as ain\n"
        "for name in ('kitchen20', 'digits'): print(ain.load(name, threads=1).embed(sys.argv[1]).shape)\n"
        "print([name for name in ('torch', 'onnx', 'sklearn', 'huggingface_hub') if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, next(sounds.rglob("*.wav"))], capture_output=True, text=True, check=True
    )
    assert found.stdout.splitlines() == ["(1, 1120)", "(1, 256)", "[]"]


def example(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_the_example_of_similar_sounds(sounds: Path, tmp_path: Path) -> None:
    query, cache = sorted((sounds / "beep").iterdir())[0], tmp_path / "vectors.npz"
    copy = tmp_path / "again.wav"
    copy.write_bytes(query.read_bytes())
    (sounds / "broken.wav").write_text("no sound")
    try:
        done = example("similar_sounds", copy, sounds, "--count", 3, "--cache", cache)
    finally:
        (sounds / "broken.wav").unlink()
    assert done.returncode == 0, done.stderr
    head, first, *others = done.stdout.splitlines()
    assert head.split() == ["similarity", "file"] and first.split() == ["1.000", str(query)]
    assert len(others) == 2 and all(float(line.split()[0]) < 1 for line in others)
    assert "broken.wav" in done.stderr and done.stderr.count("\n") == 1
    again = example("similar_sounds", copy, sounds, "--count", 3, "--cache", cache)
    assert again.stdout == done.stdout

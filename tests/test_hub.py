"""Models on the hub: the hub's real client against a local stand-in of the hub, and folders."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from audioinceptionnext.cli import main
from audioinceptionnext.errors import MissingDependencyError, ModelError, ParameterError
from audioinceptionnext.export.onnx import export_onnx
from audioinceptionnext.models import load as loading
from audioinceptionnext.models.load import load
from audioinceptionnext.models.names import find_model, is_hub_name, model_entries
from audioinceptionnext.models.publish import CARD, CONFIG, WEIGHTS, push_to_hub, write_folder
from audioinceptionnext.network.storage import StoredModel, load_model, save_model
from tests.audio_files import pink, write_wav
from tests.hub_stand_in import TOKEN, Hub, Repository, running_hub

SMALL = "kitchen20-small"


@pytest.fixture(scope="module")
def stand_in() -> Iterator[Hub]:
    with running_hub() as running:
        yield running


def python(code: str, home: Path, endpoint: str, **environment: str) -> str:
    """What the code prints in a process of its own, since the client reads its environment when it is imported."""
    own = {"HF_HOME": str(home), "HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_XET": "1", "HF_HUB_ETAG_TIMEOUT": "5"}
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=clean | own | environment, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def cli(*arguments: object) -> str:
    """Code that runs ``ainext``, and then prints its exit code and its lines on stderr."""
    return f"""
import contextlib, io
from audioinceptionnext.cli import main
err, code = io.StringIO(), None
with contextlib.redirect_stderr(err):
    try:
        main({[str(argument) for argument in arguments]!r})
    except SystemExit as end:
        code = end.code
print(code, [line for line in err.getvalue().splitlines() if line.startswith("ainext: ")])
"""


def errors_of(names: list[str]) -> str:
    return f"""
import audioinceptionnext as ain
for name in {names!r}:
    try:
        ain.load(name)
    except ain.AinextError as error:
        print(error)
"""


def test_a_pushed_model_is_loaded_again(stand_in: Hub, tmp_path: Path) -> None:
    """It is fetched into an empty cache and predicts the same; then again without the network."""
    recording = write_wav(tmp_path / "r.wav", pink(24_000 * 5, 24_000), 24_000)
    push = python(cli("push", SMALL, "me/kitchen", "--private"), tmp_path / "a", stand_in.address, HF_TOKEN=TOKEN)
    assert push.splitlines() == [f"{stand_in.address}/me/kitchen", "0 []"]
    repository = stand_in.repositories["me/kitchen"]
    (files,) = repository.commits.values()
    assert repository.private and set(files) == {"model.onnx", WEIGHTS, CONFIG, CARD}
    entry = find_model(SMALL)
    assert (files["model.onnx"], files[WEIGHTS]) == (entry.path.read_bytes(), entry.training_weights.read_bytes())

    fetch = (
        "import audioinceptionnext as ain\nmodel = ain.load('me/kitchen')\n"
        f"print(model.name, model.predict({str(recording)!r}).probabilities.tobytes().hex())"
    )
    expected = load(SMALL).predict(recording).probabilities
    stand_in.requests.clear()
    name, predicted = python(fetch, tmp_path / "b", stand_in.address, HF_TOKEN=TOKEN).split()
    assert name == "me/kitchen" and "GET /me/kitchen/resolve/main/model.onnx" in str(stand_in.requests)
    probabilities = np.frombuffer(bytes.fromhex(predicted), np.float32).reshape(expected.shape)
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    assert not any(WEIGHTS in request for request in stand_in.requests)  # which recognition does not need
    stand_in.requests.clear()
    assert python(fetch, tmp_path / "b", stand_in.address, HF_HUB_OFFLINE="1").split() == [name, predicted]
    assert not stand_in.requests
    predict = cli("predict", recording, "--model", "me/kitchen", "--json")
    *document, end = python(predict, tmp_path / "b", "http://127.0.0.1:9").splitlines()  # where no server is
    assert end == "0 []" and json.loads("".join(document))[0]["model"] == "me/kitchen"


def test_a_later_commit(stand_in: Hub, model: StoredModel, files: dict[str, Path], tmp_path: Path) -> None:
    """Pushing a file alone removes the weights of the earlier model; the earlier commit can still be loaded."""
    run = tmp_path / "run"
    save_model(model, run / WEIGHTS)
    export_onnx(model, run / "model.onnx")
    code = f"""
import audioinceptionnext as ain
print(ain.push_to_hub({str(run)!r}, "me/later"))
ain.push_to_hub({str(files["windows"])!r}, "me/later", private=True)
"""
    assert python(code, tmp_path / "home", stand_in.address, HF_TOKEN=TOKEN) == f"{stand_in.address}/me/later\n"
    repository = stand_in.repositories["me/later"]
    (first, before), (_, after) = repository.commits.items()
    assert WEIGHTS in before and set(after) == {"model.onnx", CONFIG, CARD} and not repository.private
    (tmp_path / WEIGHTS).write_bytes(before[WEIGHTS])
    assert load_model(tmp_path / WEIGHTS).labels == model.labels
    code = f"import audioinceptionnext as ain\nfor r in ('', '@{first}'): print(ain.load('me/later' + r).mode)"
    assert python(code, tmp_path / "home", stand_in.address).split() == ["windows", "dense"]


def test_fetching_that_fails(stand_in: Hub, tmp_path: Path) -> None:
    stand_in.repositories |= {
        "me/private": Repository(private=True, commits={"a" * 40: {"model.onnx": b""}}),
        "me/gated": Repository(gated=True, commits={"a" * 40: {"model.onnx": b""}}),
        "me/other": Repository(commits={"a" * 40: {"README.md": b""}}),
        "me/damaged": Repository(commits={"a" * 40: {"model.onnx": b"not a network"}}),
    }
    names = ["me/none", "me/private", "me/gated", "me/other", "me/other@v9", "me/damaged", "me/a--b"]
    hidden = f"no model or file here has this name, and {stand_in.address} has no such repository, or"
    none, private, gated, *rest = python(errors_of(names), tmp_path, stand_in.address).splitlines()
    assert none == f"me/none: {hidden} a private one: log in (hf auth login)"
    assert private == f"me/private: {hidden} a private one: log in (hf auth login)"
    assert gated == f"me/gated: accept its terms at {stand_in.address}/me/gated and log in (hf auth login)"
    assert rest[:3] == [
        "me/other: the repository has no model.onnx, so it holds no model that can be loaded; `ainext push` writes one",
        "me/other@v9: the repository has no revision v9",
        "me/damaged: model.onnx: not an ONNX model, or damaged; export or copy it again",
    ]
    assert len(rest) == 4 and rest[3].startswith("me/a--b: cannot be fetched: ")
    found = python(errors_of(["me/none"]), tmp_path, stand_in.address, HF_TOKEN=TOKEN)
    assert found == f"me/none: {hidden} none that this login may read\n"
    wrong = python(errors_of(["me/none"]), tmp_path, stand_in.address, HF_TOKEN="hf_wrong").splitlines()
    assert len(wrong) == 1 and "log in with a token that may (hf auth login, HF_TOKEN)" in wrong[0]
    offline = python(errors_of(["me/none"]), tmp_path, stand_in.address, HF_HUB_OFFLINE="1")
    assert offline == "me/none: not in the cache, and offline mode is on (HF_HUB_OFFLINE is set)\n"
    # The client tries again for 23 seconds. Here it does so without waiting.
    at_once = "import time\ntime.sleep = lambda seconds: None\n"
    alone = python(at_once + errors_of(["me/none"]), tmp_path, "http://127.0.0.1:9").splitlines()
    assert len(alone) == 1
    assert alone[0].startswith("me/none: not in the cache, and http://127.0.0.1:9 cannot be reached (")


def test_pushing_that_fails(stand_in: Hub, tmp_path: Path) -> None:
    def push(name: str, endpoint: str = stand_in.address, **environment: str) -> str:
        code = f"import audioinceptionnext as ain\ntry: ain.push_to_hub({SMALL!r}, {name!r})\n"
        return python(code + "except ain.AinextError as error: print(error)", tmp_path, endpoint, **environment)

    hint = "run `hf auth login`, or set HF_TOKEN to a token that may write"
    assert push("me/new") == f"me/new: not logged in; {hint}\n"
    others = push("them/new", HF_TOKEN=TOKEN)
    assert others.startswith("them/new: cannot be uploaded: ") and "them/new" in others
    assert others.endswith("log in with a token that may (hf auth login, HF_TOKEN)\n") and others.count("\n") == 1
    alone = push("me/new", "http://127.0.0.1:9", HF_TOKEN=TOKEN)
    assert alone.startswith("me/new: cannot be uploaded: http://127.0.0.1:9: ") and alone.count("\n") == 1
    assert "me/new" not in stand_in.repositories


def test_without_the_client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for call in (lambda: load("me/kitchen"), lambda: push_to_hub(SMALL, "me/kitchen")):
        with pytest.raises(
            MissingDependencyError, match=r"me/kitchen .* needs .*: pip install 'audioinceptionnext\[hub\]'$"
        ):
            call()
    with pytest.raises(MissingDependencyError, match=r"pip install 'audioinceptionnext\[hub\]'$"):
        write_folder(SMALL, "me/kitchen", tmp_path)


@pytest.mark.parametrize("name", [entry.name for entry in model_entries()])
def test_cards_of_shipped_models(name: str, tmp_path: Path) -> None:
    """The hub's client reads their YAML; the accuracy has its explanation; no link points to a missing file."""
    from huggingface_hub import ModelCard
    from huggingface_hub.repocard import metadata_load

    files = write_folder(name, f"me/{name}", tmp_path / "new" / "folder")
    assert [file.name for file in files] == ["model.onnx", WEIGHTS, CONFIG, CARD]
    data, entry = metadata_load(files[3]), find_model(name)
    assert data is not None
    assert data["license"] == entry.description["licence"].lower()
    assert (data["library_name"], data["pipeline_tag"]) == ("audioinceptionnext", "audio-classification")
    assert data.get("datasets") == (None if name in ("everyday", "rendered") else [entry.description["data"]])
    card = ModelCard.load(files[3])
    (result,) = card.data.eval_results
    assert f"{result.metric_value:g} %" in entry.description["measured"]
    assert entry.description["measured"].endswith(result.metric_name.partition(" in %")[2])
    assert f'ain.load("me/{name}")' in card.text and card.text.strip().startswith(f"# {name}\n")
    assert "](../" not in card.text and "training.safetensors" not in card.text
    config = json.loads(files[2].read_text(encoding="utf-8"))
    assert config["labels"] == entry.description["labels"] and config["sample_rate"] == entry.description["sample_rate"]
    assert (config["parameters"], config["gmac"]) == (entry.description["parameters"], entry.description["gmac"])


def test_a_model_of_the_user(model: StoredModel, tmp_path: Path) -> None:
    """Weights of a run become a folder that loads and can be pushed as it is; the card states only what is known."""
    from huggingface_hub.repocard import metadata_load

    own = replace(model, info={"data": "folder", "licence": "My Own 1.0"}, thresholds=(0.3, 0.4, 0.5))
    save_model(own, tmp_path / "m.safetensors")
    with pytest.raises(ModelError, match=r"m\.safetensors: holds weights for training"):
        write_folder(tmp_path / "m.safetensors", "me/my-sounds", tmp_path / "out")
    with pytest.raises(SystemExit, match="0"):
        main(["push", str(tmp_path / "m.safetensors"), "me/my-sounds", "--to-folder", str(tmp_path / "out")])
    files = [tmp_path / "out" / name for name in ("model.onnx", WEIGHTS, CONFIG, CARD)]
    data = metadata_load(files[3])
    assert data is not None and (data["license"], data["license_name"]) == ("other", "my-own-1.0")
    assert "datasets" not in data and "model-index" not in data
    text = files[3].read_text(encoding="utf-8")
    assert (
        "Recognises 3 labels: tap, plate, bowl, été." in text and "None are stated" in text and "ainext train" in text
    )
    again = load(tmp_path / "out")
    assert (again.name, again.labels, again.thresholds) == ("my-sounds", own.labels, own.thresholds)
    assert json.loads(files[2].read_text(encoding="utf-8"))["thresholds"] == dict(
        zip(own.labels, own.thresholds or (), strict=True)
    )
    files[3].write_text(text + "\nMy words.\n", encoding="utf-8")
    copies = write_folder(tmp_path / "out", "me/other", tmp_path / "copy")
    assert [a.read_bytes() for a in copies] == [b.read_bytes() for b in files]


def test_local_models_come_before_the_hub(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shipped name comes before a folder of that name; a folder or file comes before the hub, which is not asked."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loading, "fetch", lambda name: pytest.fail(f"asked for {name}"))
    for name in (SMALL, "me/here"):
        Path(name).mkdir(parents=True)
        Path(name, "model.onnx").write_bytes(files["dense"].read_bytes())
    Path("me/empty").mkdir()
    Path("me/file").write_bytes(files["windows"].read_bytes())
    assert load(SMALL).name == SMALL and len(load(SMALL).labels) == 20
    assert load("me/here").mode == "dense" and load("me/file").mode == "windows"
    for name in ("me/empty", "a/b/c", "./none", "kitchen21", "/none"):
        with pytest.raises(ModelError, match="there is no such model"):
            load(name)
    assert not is_hub_name("me/x@") and is_hub_name("me/x.y@refs/pr/1") and not is_hub_name("me\\x")


def test_names_that_the_hub_does_not_accept(tmp_path: Path) -> None:
    for name in ("kitchen", "me/my sounds", "me/x@main"):
        with pytest.raises(ParameterError, match=f"^name is {name}: give user/name"):
            write_folder(SMALL, name, tmp_path / "out")
        with pytest.raises(ParameterError, match=f"^name is {name}: give user/name"):
            push_to_hub(SMALL, name)
    assert not (tmp_path / "out").exists()

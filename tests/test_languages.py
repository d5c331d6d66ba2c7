"""Names of labels in people's languages: the tables, and every place where a person reads them."""

from __future__ import annotations

import csv
import json
import pickle
import unicodedata
import warnings
from importlib.resources import files
from pathlib import Path

import httpx
import numpy as np
import pytest
from websockets.sync.client import connect

from audioinceptionnext import list_languages, load
from audioinceptionnext.cli.live_printer import _cut
from audioinceptionnext.errors import FileError, ParameterError
from audioinceptionnext.inference.recogniser import Recogniser
from audioinceptionnext.models.names import find_model, model_entries
from audioinceptionnext.results import plot_fonts
from audioinceptionnext.results.languages import names_of, read_names
from audioinceptionnext.results.recognition import Recognition
from audioinceptionnext.results.types import Score, Segment
from tests.audio_files import write_wav
from tests.command import ainext, refused

OTHERS = [code for code in list_languages() if code != "en"]
# The labels of `rendered` describe settings of the synthesiser, and digits are the same in all languages.
NAMELESS = {"rendered", "digits"}
SCRIPTS = {"ja": ("CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA"), "zh": ("CJK",)}
ZOO = find_model("everyday").folder.parent


@pytest.fixture(scope="module")
def everyday() -> Recogniser:
    return load("everyday", threads=1)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A model in a file of its own."""
    model = tmp_path / "mine.onnx"
    model.write_bytes(find_model("kitchen20-small").read())
    return model


def result(names: dict[str, str] | None = None) -> Recognition:
    segments = [Segment(0, 6, "Dog", 0.9), Segment(7, 9, "Waves, surf", 0.8)]
    steps = np.full((9, 3), 0.5, np.float32)
    return Recognition(
        file="yard.wav",
        duration=10.0,
        model="everyday",
        clip=[Score("Dog", 0.5), Score("Cat", 0.2)],
        segments=segments,
        labels=("Dog", "Cat", "Waves, surf"),
        probabilities=steps,
        step_seconds=1.0,
        window_seconds=1.0,
        names=names or {},
    )


JAPANESE = {"Dog": "犬", "Cat": "猫", "Waves, surf": "波、打ち寄せる波"}


@pytest.mark.parametrize("language", OTHERS)
def test_every_label_and_group_of_the_shipped_models_has_a_name_of_its_own(language: str) -> None:
    text = (files("audioinceptionnext") / "languages" / f"{language}.tsv").read_text(encoding="utf-8")
    header, *rows = csv.reader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    assert header == ["label", "name", "checked"] and len({row[0] for row in rows}) == len(rows)
    for label, name, checked in rows:
        assert label and checked == checked.strip() != ""
        assert name == unicodedata.normalize("NFC", " ".join(name.split())) != ""
        kinds = {unicodedata.name(letter).split()[0] for letter in name if letter.isalpha()}
        if language in SCRIPTS:  # next to abbreviations such as EDM
            assert kinds & {*SCRIPTS[language]} and kinds <= {*SCRIPTS[language], "LATIN"}, name
        else:
            assert kinds <= {"LATIN"}, name
    for entry in model_entries():
        if entry.folder.parent == ZOO and entry.name not in NAMELESS:
            known = list(dict.fromkeys([*entry.description["labels"], *entry.description.get("groups", {})]))
            names = names_of(known, language)
            assert list(names) == known
            assert len({name.casefold() for name in names.values()}) == len(known)
            assert not any(
                name.endswith(f" ({label})") for label, name in names.items()
            )  # what tells equal names apart
            # A name is never another label: people may choose labels by either.
            others = {label.casefold(): label for label in known}
            assert all(others.get(name.casefold(), label) == label for label, name in names.items())


def test_every_label_of_audioset_has_a_name() -> None:
    """Those that a model may learn from a teacher, too; the ontology's groups are among them."""
    tables = {code: read_names(Path(str(files("audioinceptionnext") / "languages" / f"{code}.tsv"))) for code in OTHERS}
    first, *more = (set(table) for table in tables.values())
    assert all(table == first for table in more) and len(first) == 527 + 32 + 20 + 10
    assert {"Mains hum", "Boing", "Scratching (performance technique)", "Onomatopoeia", "clean-dishes"} <= first


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("de", "Hund"),
        ("DE", "Hund"),
        ("de-AT", "Hund"),
        ("de_DE.UTF-8", "Hund"),
        ("pt-BR", "Cachorro"),
        ("zh-CN", "狗"),
    ],
)
def test_a_region_does_not_matter(everyday: Recogniser, given: str, name: str) -> None:
    assert everyday.label_names(given)["Dog"] == name
    assert everyday.label_names("en")["Waves, surf"] == "Waves, surf"
    assert everyday.label_names(given)["Human voice"] != "Human voice"  # a group


@pytest.mark.parametrize("given", ["xx", "", "deutsch", "zh-TW", "zh_HK", "../de", "C"])
def test_an_unknown_language_is_refused(everyday: Recogniser, given: str) -> None:
    with pytest.raises(ParameterError, match="choose from de, en, es, fr, ja, pt, zh") as caught:
        everyday.in_language(given)
    assert caught.value.name == "language"


def test_labels_and_thresholds_are_found_by_either_name(everyday: Recogniser) -> None:
    german = everyday.in_language("de")
    chosen = german.choose("Hund, group:Vogel, Wellen, Brandung, Snake", ["krähe", "Zwitsch*"])
    assert chosen.labels == ("Dog", "Bird", "Bird vocalization, bird call, bird song", "Caw", "Snake", "Waves, surf")
    assert set(chosen.names) == set(chosen.labels) and chosen.names["Waves, surf"] == "Wellen, Brandung"
    assert german.groups == everyday.groups and german.labels == everyday.labels
    settings = chosen.segmentation_settings([{"Hund": 0.9, "group:Vogel": 0.7, "Caw": 0.6}])
    assert settings.class_thresholds[:4] == (0.9, 0.7, 0.7, 0.6)
    with pytest.raises(ParameterError, match="did you mean Hund"):
        german.choose("Hundd")
    with pytest.raises(ParameterError, match="Hund"):
        everyday.choose("Hund")  # without a language, only labels count
    again = pickle.loads(pickle.dumps(chosen))
    assert (again.labels, again.names) == (chosen.labels, chosen.names)


def test_a_model_has_names_of_its_own(own: Path) -> None:
    table = own.with_name("mine.it.tsv")
    table.write_text("label\tname\nblender\tFrullatore\nbook\tLibro\ndrawer\tLibro\nfridge\t\n", encoding="utf-8")
    mine = load(own)
    with pytest.warns(UserWarning, match="17 of 20 labels have no name in it, such as 'dishwasher'"):
        italian = mine.in_language("it")
    # Names that would be the same are told apart, and what has none keeps its label.
    assert [italian.names[label] for label in ("blender", "book", "drawer", "fridge")] == [
        "Frullatore", "Libro (book)", "Libro (drawer)", "fridge",
    ]  # fmt: skip
    own.with_name("mine.de.tsv").write_text("\ufefflabel\tname\nblender\tRührgerät\n", encoding="utf-8")
    assert mine.label_names("de")["blender"] == "Rührgerät" and mine.label_names("de")["fridge"] == "Kühlschrank"
    for text, wrong in (("blender;Mixer", "first line"), ("label\tname\na\tb\na\tc\n", "line 3: 'a' has another name")):
        table.write_text(text, encoding="utf-8")
        with pytest.raises(FileError, match=f"mine.it.tsv: .*{wrong}"):
            mine.in_language("it")
    table.write_bytes(b"label\tname\na\t\xff\n")
    with pytest.raises(FileError, match="cannot be read as text"):
        mine.in_language("it")


def test_digits_need_no_names() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load("digits").in_language("ja").names["7"] == "7"


def test_people_read_names_and_programs_labels() -> None:
    named = result(JAPANESE)
    printed = str(named)
    assert "犬" in printed and "波、打ち寄せる波" in printed and "Dog" not in printed
    # In a terminal, each of these letters is as wide as two others.
    width = {len(line) + sum(unicodedata.east_asian_width(letter) in "WF" for letter in line)
             for line in printed.splitlines()[-2:]}  # fmt: skip
    assert len(width) == 1
    assert named.to_srt().splitlines()[2] == "犬 90%" and "<td>犬</td>" in named._repr_html_()
    assert named.as_dict()["segments"][0] == {"start": 0, "end": 6, "label": "Dog", "name": "犬", "score": 0.9}
    assert named.as_dict()["clip"][1] == {"label": "Cat", "name": "猫", "score": 0.2}
    assert named.to_csv().splitlines()[0] == "file,start,end,label,score,name"
    assert named.to_csv().splitlines()[2] == 'yard.wav,7.000,9.000,"Waves, surf",0.8000,波、打ち寄せる波'
    for format in ("audacity", "elan", "raven"):  # corrected by people, and read as training data
        assert "Dog" in (text := named.to(format)) and "犬" not in text
    assert [one.label for one in named.segments] == ["Dog", "Waves, surf"]
    assert "name" not in json.dumps(result().as_dict()) and result().to_csv().splitlines()[0][-5:] == "score"


def test_a_picture_without_a_font_for_the_names_shows_the_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")

    def drawn(names: dict[str, str]) -> tuple[set[str], set[str]]:
        figure = result(names).plot()
        ticks = [tick for ax in figure.axes for tick in ax.get_yticklabels()]
        return {tick.get_text() for tick in ticks}, {family for tick in ticks for family in tick.get_fontfamily()}

    assert {"Hund", "Wellen, Brandung"} <= drawn({"Dog": "Hund", "Waves, surf": "Wellen, Brandung"})[0]
    monkeypatch.setattr(plot_fonts, "_font_with", lambda letters: None)
    with pytest.warns(UserWarning, match="no font here has the letters of these names"):
        assert {"Dog", "Waves, surf"} <= drawn(JAPANESE)[0]
    monkeypatch.setattr(plot_fonts, "_font_with", lambda letters: "DejaVu Serif")
    texts, families = drawn(JAPANESE)
    assert {"犬", "波、打ち寄せる波"} <= texts and "DejaVu Serif" in families


def test_a_box_for_every_letter_is_no_font(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.font_manager import fontManager

    assert plot_fonts.families_for(["Hund", "Äpfel, ¿qué?", "œuf"]) is not None
    boxes = [font for font in fontManager.ttflist if font.name.startswith("Last Resort")]
    monkeypatch.setattr(fontManager, "ttflist", boxes)
    plot_fonts._font_with.cache_clear()
    assert plot_fonts.families_for(["犬"]) is None
    plot_fonts._font_with.cache_clear()


def test_predict_and_report_in_a_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the command line to every file, in German and Japanese. Without the option, nothing changes."""
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    write_wav("noise.wav", rng.normal(0, 0.1, 3 * 24_000), 24_000)
    call = ("--model", "kitchen20-small", "--threshold", "0.01", "--top-k", "20")
    (plain,) = ainext("predict", "noise.wav", *call, "--json").json
    assert plain["segments"] and "name" not in json.dumps(plain)
    more = (
        "--language",
        "de",
        "--labels",
        "Standmixer, *wasser,Geschirr spülen",
        "--table",
        "t.csv",
        "--summary",
        "s.csv",
    )
    found = ainext("predict", "noise.wav", *call, *more, "--plot")
    labels = {"Standmixer", "Fließendes Wasser", "Kochendes Wasser", "Geschirr spülen"}
    assert found.code == 0 and not found.err and Path("noise.png").stat().st_size > 10_000
    shown = {label for label in labels if label in found.out}
    assert shown and "blender" not in found.out
    with Path("t.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["name"] for row in rows} <= labels and {row["label"] for row in rows} <= set(load("kitchen20").labels)
    (row,) = csv.DictReader(Path("s.csv").read_text(encoding="utf-8").splitlines())
    assert row["name"] in labels and list(row)[-1] == "name"
    assert ainext("predict", "noise.wav", *call, "--table", "t.csv", "--summary", "s.csv").code == 0  # replaces its own
    assert "name" not in Path("t.csv").read_text(encoding="utf-8")

    (named,) = ainext("predict", "noise.wav", *call, "--json", "--language", "ja").json
    names = load("kitchen20-small").label_names("ja")
    assert [one | {"name": names[one["label"]]} for one in plain["segments"]] == named["segments"]
    srt = ainext("predict", "noise.wav", *call, "--format", "srt", "--language", "ja").out
    assert names[plain["segments"][0]["label"]] in srt
    assert (
        ainext("report", "noise.wav", "--model", "kitchen20-small", "--threshold", "0.01", "--language", "ja").code == 0
    )
    page = Path("report.html").read_text(encoding="utf-8")
    assert names[plain["segments"][0]["label"]] in page.partition("<script")[2].partition("<main>")[2]
    line = refused("predict", "noise.wav", "--language", "klingon")
    assert "--language klingon: there are no names" in line and "choose from de, en" in line


def test_listen_prints_names_and_logs_labels(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    write_wav(tmp_path / "noise.wav", rng.normal(0, 0.1, 4 * 24_000), 24_000)
    call = ("listen", tmp_path / "noise.wav", "--model", "kitchen20-small", "--threshold", "0.01", "--language", "ja")
    names = load("kitchen20-small").label_names("ja")
    lines = ainext(*call, "--log", tmp_path / "log.jsonl").out.splitlines()
    assert lines and all(line.split()[-1] in names.values() for line in lines)
    logged = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [names[one["label"]] for one in logged] == [line.split()[-1] for line in lines]
    assert not any("name" in one for one in logged)
    events = [json.loads(line) for line in ainext(*call, "--json", "--steps", "--no-early").out.splitlines()]
    assert {one["event"] for one in events} == {"step", "start", "end"}
    assert all(one["name"] == names[one["label"]] for one in events)


def test_a_status_line_fits_letters_that_are_two_columns_wide() -> None:
    assert _cut("0:12.3  煙感知器、煙警報器 62%", 16) == "0:12.3  煙感知器"
    assert _cut("0:12.3  犬 62%", 16) == "0:12.3  犬 62%"


def test_the_server_gives_names_when_asked(own: Path) -> None:
    pytest.importorskip("fastapi")
    own.with_name("mine.it.tsv").write_text("label\tname\nblender\tFrullatore\n", encoding="utf-8")
    noise = np.random.default_rng(2).normal(0, 0.1, 2 * 24_000)
    write_wav(own.with_name("noise.wav"), noise, 24_000)
    sound = own.with_name("noise.wav").read_bytes()
    from tests.served import problem, serving

    with (
        serving(models=(str(own), "esc10")) as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        assert not any("names" in one for one in client.get("/v1/models").json()["models"])
        names = client.get("/v1/models?language=de").json()["models"][0]["names"]
        assert names == load("kitchen20-small").label_names("de")
        mine, shipped = client.get("/v1/models?language=it").json()["models"]
        assert (shipped["names"]["rain"], mine["names"]["blender"]) == ("rain", "Frullatore")
        assert "choose from de" in problem(client.get("/v1/models?language=xx"), 422)
        assert "there is no parameter" in problem(client.get("/v1/models?lang=de"), 422)

        def predict(query: str) -> httpx.Response:
            return client.post(f"/v1/predict?threshold=0.01&{query}", content=sound)

        assert "name" not in json.dumps(predict("").json()["segments"])
        found = predict("language=de&ignore=Standmixer").json()
        assert found["segments"] and all(
            one["name"] == names[one["label"]] for one in found["segments"] + found["clip"]
        )
        assert not any(one["label"] == "blender" for one in found["segments"])
        assert "language is xx" in problem(predict("language=xx"), 422)
        own.with_name("mine.it.tsv").write_text("nothing", encoding="utf-8")
        assert problem(predict("language=it&model=esc10"), 422)
        detail = problem(predict("language=it"), 500)
        assert detail.startswith("mine.it.tsv: its first line")
        with connect(f"{server.url.replace('http', 'ws')}/v1/listen?language=de&threshold=0.01&rate=24000") as socket:
            socket.send((noise * 32767).astype("<i2").tobytes())
            socket.send('{"type": "end"}')
            steps = [json.loads(message) for message in socket]
        assert steps and all(one["name"] == names[one["label"]] for step in steps for one in [step, *step["top"]])

"""The history database: what it stores and counts, who may use it at once, and what it refuses."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from audioinceptionnext.errors import FileError, ParameterError
from audioinceptionnext.history.database import History
from audioinceptionnext.history.export import export
from tests.command import ainext, refused

EIGHT = datetime(2026, 11, 29, 8, tzinfo=UTC).timestamp()
ADDING = """
import sys
from audioinceptionnext.history.database import History
with History(sys.argv[1]) as history:
    for number in range(50):
        history.add(sys.argv[2], number, number + 1, "Speech", 0.5, "everyday")
"""


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "history.db")


def test_rows_come_back_as_they_were_added(history: History) -> None:
    id = history.add("kitchen", EIGHT, EIGHT + 1.5, "Kettle", 0.93124, "everyday", clip="a.flac", clip_start=EIGHT - 1)
    row = history.event(id)
    assert row is not None and (row.start, row.end, row.score) == (EIGHT, EIGHT + 1.5, 0.9312)
    assert row.as_dict(UTC) == {
        "id": id,
        "source": "kitchen",
        "start": "2026-11-29T08:00:00.000+00:00",
        "end": "2026-11-29T08:00:01.500+00:00",
        "label": "Kettle",
        "score": 0.9312,
        "model": "everyday",
        "clip": "a.flac",
        "clip_start": "2026-11-29T07:59:59.000+00:00",
        "corrected": False,
    }
    with History(history.path, read_only=True) as reader:
        assert reader.events() == [row]


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names are text here")
def test_a_file_whose_name_is_no_text_can_hold_a_history(tmp_path: Path) -> None:
    with History(tmp_path / os.fsdecode(b"caf\xe9 #1.db")) as history:
        history.add("kitchen", EIGHT, EIGHT + 1, "Kettle")
    assert [os.fsencode(path.name) for path in tmp_path.iterdir()] == [b"caf\xe9 #1.db"]


def test_filters_choose_the_same_rows_everywhere(history: History) -> None:
    for number, (source, label, score) in enumerate(
        [("kitchen", "Speech", 0.9), ("door", "Knock", 0.4), ("kitchen", "Knock", 0.8), ("kitchen", "Knock", None)]
    ):
        history.add(source, EIGHT + number, EIGHT + number + 1, label, score, "everyday")

    def found(**filters: object) -> list[int]:
        ids = [row.id for row in history.events(**filters)]  # type: ignore[arg-type]
        assert len(ids) == history.number(**filters)  # type: ignore[arg-type]
        assert len(ids) == sum(count.number for count in history.counts(**filters))  # type: ignore[arg-type]
        return ids

    assert found() == [1, 2, 3, 4]
    assert found(labels=["Knock"]) == [2, 3, 4]
    assert found(labels=["Knock"], sources=["kitchen"], min_score=0.5) == [3, 4]  # a person's own has no score
    assert found(after=EIGHT + 1, before=EIGHT + 3) == [2, 3]
    assert found(after_id=3) == [4]
    assert found(labels=[]) == []
    assert history.labels() == ["Knock", "Speech"] and history.sources() == ["door", "kitchen"]


def test_pages_go_on_where_the_last_one_ended(history: History) -> None:
    for second in (3, 1, 2, 2, 2):
        history.add("door", second, second, "Knock")
    first = history.events(limit=2, newest_first=True)
    history.add("door", 9, 9, "Knock")  # meanwhile
    second = history.events(limit=2, newest_first=True, beyond=first[-1])
    assert [row.id for row in first + second] == [1, 5, 4, 3]
    assert [[row.id for row in page] for page in history.pages(4)] == [[2, 3, 4, 5], [1, 6]]


def test_days_and_hours_are_those_of_the_time_zone(history: History) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    back = datetime(2026, 10, 25, 0, 30, tzinfo=UTC).timestamp()  # half past two, which comes twice on that day
    for hours in (-3, 0, 1, 2, 22.9, 24):
        history.add("door", back + hours * 3600, back + hours * 3600, "Knock")
    days = history.counts("day", berlin)
    assert [(day.start.isoformat(), day.number) for day in days] == [
        ("2026-10-24T00:00:00+02:00", 1),
        ("2026-10-25T00:00:00+02:00", 3),
        ("2026-10-26T00:00:00+01:00", 2),
    ]
    hours = [hour.start.isoformat() for hour in history.counts("hour", berlin)]
    assert hours[1:4] == ["2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00"]
    half = history.counts("hour", ZoneInfo("Asia/Kolkata"), after=back, before=back + 1)
    assert half[0].start.isoformat() == "2026-10-25T06:00:00+05:30"


def test_corrections_and_deletions(history: History) -> None:
    id = history.add("door", 10, 12, "Knock", 0.7, "everyday", clip="knock.flac", clip_start=9)
    row = history.update(id, label="Doorbell", end=13)
    assert row is not None and (row.start, row.end, row.label, row.score, row.corrected) == (
        10,
        13,
        "Doorbell",
        0.7,
        True,
    )
    with pytest.raises(ParameterError, match="before the start"):
        history.update(id, end=9)
    with pytest.raises(ParameterError, match="give a label"):
        history.update(id, label=" ")
    with pytest.raises(ParameterError, match="Unix seconds"):
        history.add("door", float("nan"), 1, "Knock")
    assert history.event(id) == row
    assert history.clips() == {"knock.flac"}
    assert history.clear_clips(["knock.flac", "other.flac"]) == 1
    assert history.set_clip(id, "new.flac", 9.5) and not history.set_clip(99, "new.flac", 9.5)
    (deleted,) = history.delete([id, 99, *range(1000, 3000)])
    assert deleted.clip == "new.flac"
    assert history.update(id, label="Knock") is None and history.delete([id]) == []
    assert history.add("door", 10, 12, "Knock") == id + 1  # no number is given twice


def test_several_processes_and_threads_share_one_file(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    processes = [subprocess.Popen([sys.executable, "-c", ADDING, str(path), name]) for name in ("kitchen", "door")]
    with History(path) as history:
        threads = [
            threading.Thread(target=lambda: [history.add("attic", 1, 2, "Speech") for _ in range(50)]) for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        while any(process.poll() is None for process in processes):
            history.counts("day")
        for thread in threads:
            thread.join()
        assert [process.returncode for process in processes] == [0, 0]
        assert history.number() == 200 and history.number(sources=["door"]) == 50
    assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_other_files_are_refused_and_stay_as_they_are(tmp_path: Path) -> None:
    text = tmp_path / "table.csv"
    text.write_text("file,label\n" * 100)
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE bookmarks (id)")
    newer = tmp_path / "newer.db"
    History(newer).close()
    with sqlite3.connect(newer) as database:
        database.execute("PRAGMA user_version = 2")
    database.close()
    for path, reason in (
        (text, "is a CSV file, not a history; give another file"),
        (other, "is not a history, but a database of another program"),
        (newer, "written by a newer audioinceptionnext .*update this one"),
        (tmp_path, "is a folder"),
        (tmp_path / "missing" / "new.db", "the folder .* does not exist"),
    ):
        before = path.read_bytes() if path.is_file() else None
        with pytest.raises(FileError):
            History(path, read_only=True)
        with pytest.raises(FileError, match=reason):
            History(path)
        assert before == (path.read_bytes() if path.is_file() else None)
    with pytest.raises(FileError, match="there is no such file"):
        History(tmp_path / "new.db", read_only=True)
    assert not (tmp_path / "new.db").exists()


def test_a_database_that_stays_locked_is_said(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    history._database.execute("PRAGMA busy_timeout = 50")
    other = sqlite3.connect(history.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(FileError, match="locked"):
        history.add("door", 1, 2, "Knock")
    other.execute("ROLLBACK")
    assert history.add("door", 1, 2, "Knock") == 1


def test_a_full_disk_is_said_and_loses_nothing(history: History) -> None:
    history.add("door", 1, 2, "Knock")
    pages = history._database.execute("PRAGMA page_count").fetchone()[0]
    history._database.execute(f"PRAGMA max_page_count = {pages}")  # SQLite's own way to be full
    with pytest.raises(FileError, match="the disk is full"):
        for _ in range(1000):
            history.add("door", 1, 2, "Knock" * 100)
    number = history.number()
    history._database.execute("PRAGMA max_page_count = 1000000")
    assert number >= 1 and history.add("door", 1, 2, "Knock") > number


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions mean nothing to root")
def test_a_read_only_place_can_be_read_but_not_written(history: History) -> None:
    history.add("door", 1, 2, "Knock")
    history.close()
    history.path.parent.chmod(0o500)
    try:
        with pytest.raises(FileError, match="permission denied"):
            History(history.path)
        with History(history.path, read_only=True) as reader:
            assert reader.number() == 1
    finally:
        history.path.parent.chmod(0o700)


def test_tables_have_all_that_the_database_has(history: History, tmp_path: Path) -> None:
    import pandas as pd

    history.add("küche", EIGHT, EIGHT + 1.5, 'Dog, "bark"', 0.9, "everyday", clip="a.flac", clip_start=EIGHT - 1)
    history.add("door", EIGHT + 60, EIGHT + 61, "Knock", corrected=True)
    csv, parquet = tmp_path / "all.csv", tmp_path / "all.parquet"
    assert export(history, csv, ZoneInfo("Asia/Tokyo")) == export(history, parquet) == 2
    assert csv.read_text(encoding="utf-8").splitlines() == [
        "id,source,start,end,label,score,model,clip,clip_start,corrected",
        '1,küche,2026-11-29T17:00:00.000+09:00,2026-11-29T17:00:01.500+09:00,"Dog, ""bark""",0.9,everyday,a.flac,'
        "2026-11-29T16:59:59.000+09:00,0",
        "2,door,2026-11-29T17:01:00.000+09:00,2026-11-29T17:01:01.000+09:00,Knock,,,,,1",
    ]
    table = pd.read_parquet(parquet)
    assert str(table["start"].dtype) == "datetime64[ms, UTC]" and table["start"][0].timestamp() == EIGHT
    assert list(table["corrected"]) == [False, True] and table["score"].isna().tolist() == [False, True]
    assert export(history, csv, labels=["Knock"]) == 1 and len(csv.read_text().splitlines()) == 2
    (tmp_path / "mine.csv").write_text("name,age\nme,42\n")
    for name, reason in (("mine.csv", "is there already"), ("all.txt", "ends in .csv or .parquet")):
        with pytest.raises(FileError, match=reason):
            export(history, tmp_path / name)
    with pytest.raises(FileError, match="the folder"):
        export(history, tmp_path / "none" / "all.csv")
    assert (tmp_path / "mine.csv").read_text() == "name,age\nme,42\n"


def test_the_command_lists_and_exports(history: History, tmp_path: Path) -> None:
    for number in range(50):
        label = "Smoke alarm" if number % 10 == 0 else "Speech"
        history.add("kitchen", EIGHT + 3600 * number, EIGHT + 3600 * number + 1, label, number / 50, "everyday")
    shown = ainext("history", "list", history.path)
    assert shown.code == 0 and len(shown.out.splitlines()) == 42 and "… and 10 more" in shown.out
    call = ("history", "list", history.path, "--json", "--labels", "smoke*", "--min-score", 0.2)
    assert [one["id"] for one in ainext(*call).json] == [41, 31, 21, 11]
    day = ainext(*call, "--after", "2026-11-30T08:00+00:00", "--before", "2026-12-01T00:00+00:00", "--limit", 5)
    assert [one["id"] for one in day.json] == [31]
    done = ainext("history", "export", history.path, tmp_path / "all.csv", "--source", "kitchen")
    assert done.code == 0 and done.complaints == [f"ainext: wrote 50 segments to {tmp_path / 'all.csv'}"]
    assert refused(*call, "--source", "kitchn").endswith("--source kitchn: did you mean kitchen?")
    assert "give a day or a time" in refused(*call, "--before", "soon")
    assert "there is no such file" in refused("history", "list", tmp_path / "none.db")
    assert not (tmp_path / "none.db").exists()

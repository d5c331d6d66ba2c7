"""VGG-Sound (Chen et al., 2020): 200,000 clips of 10 s from YouTube, 309 classes, split train and test.

Layout: ``vggsound.csv`` (YouTube id, start second, label, split; no header) and, anywhere below the folder, one audio
or video file per clip, named ``ID_000030.ext`` (six digits for the start second) or ``ID_30.ext``. Labels are those of
the whole list, sorted by name. Videos vanish from YouTube; each clip that is not there is a problem of one line.
"""

from __future__ import annotations

from pathlib import Path

from audioinceptionnext.data.clip import Clip, Dataset
from audioinceptionnext.data.recordings import recordings_at
from audioinceptionnext.data.table import BadRow, MissingClip, Row, list_at, read_table, split_of, whole_number
from audioinceptionnext.errors import FileError

COLUMNS = ("id", "start", "label", "split")


def load(root: Path, audio: Path | None = None) -> Dataset:
    """Read VGG-Sound's list in ``root``, with its recordings below the folder ``audio`` if that is given.

    Raises:
        FileError: ``root`` does not hold the list, or none of its clips is there.
    """
    path = list_at(root, "vggsound.csv", "VGG-Sound")
    table = read_table(path, COLUMNS, "VGG-Sound", header=COLUMNS)
    if table.rows and not table.rows[0][1]["start"].isdecimal():  # a copy to which somebody added a header
        del table.rows[0]
    if not table.rows:
        line, text = (table.problems or [(1, "no clips")])[0]
        raise FileError(path, f"line {line}: {text}; the list of VGG-Sound has id, start second, label, split")
    recordings = recordings_at(audio or root)
    labels = sorted({row["label"] for _, row in table.rows if row["label"]})
    index = {label: number for number, label in enumerate(labels)}

    def make(_: int, row: Row) -> Clip:
        if not row["label"]:
            raise BadRow("no label")
        start, split = whole_number(row, "start"), split_of(row["split"])
        name = f"{row['id']}_{start:06d}"
        found = recordings.find(name, f"{row['id']}_{start}")
        if found is None:
            raise MissingClip(recordings.place / f"{name}.*")
        path, key = found
        return Clip(path, index[row["label"]], split=split, group=row["id"], key=key, id=name)

    return table.dataset("vggsound", labels, make)

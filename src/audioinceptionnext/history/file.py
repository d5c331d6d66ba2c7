"""The file of a history: its schema, how it is opened, and what SQLite's errors mean."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from audioinceptionnext.errors import FileError, kind_of_file

APPLICATION_ID = 0x41494E58  # "AINX", by which `file` and we tell such a database from others
VERSION = 1  # of the schema
_BUSY_S = 1.0  # how long to wait for another process that writes; live inputs wait, too

_SCHEMA = (
    """
    CREATE TABLE events (
        id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice, also after a deletion
        source TEXT NOT NULL,                  -- the input's name
        start REAL NOT NULL,                   -- Unix seconds, UTC
        "end" REAL NOT NULL,
        label TEXT NOT NULL,
        score REAL,                            -- 0 to 1; NULL if a person added the segment
        model TEXT NOT NULL,                   -- empty if a person added the segment
        clip TEXT,                             -- name of the file in the folder of kept clips, or NULL
        clip_start REAL,                       -- Unix seconds at which that file begins
        corrected INTEGER NOT NULL DEFAULT 0,  -- 1 if a person has changed or added the segment
        CHECK ("end" >= start),
        CHECK (corrected IN (0, 1))
    )
    """,
    "CREATE INDEX events_start ON events (start, label)",  # with the label, counts need no row
    "CREATE INDEX events_label ON events (label, start)",
    "CREATE INDEX events_source ON events (source)",
    "CREATE INDEX events_clip ON events (clip) WHERE clip IS NOT NULL",
)


class HistoryFile:
    """An open history. Threads take turns; processes wait for one another for up to 5 s."""

    def __init__(self, path: str | PathLike[str], read_only: bool) -> None:
        self.path = Path(path)
        self._read_only = read_only
        self._lock = threading.RLock()
        self._check_place()
        with self._errors():
            self._database = self._connect()
        try:
            with self._errors():
                self._prepare()
        except BaseException:
            self._database.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Nothing is pending."""
        with self._lock, self._errors():
            self._database.close()

    def _read(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._lock, self._errors():
            return self._database.execute(statement, values).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, which another process sees as a whole or not at all."""
        with self._lock, self._errors():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    def _check_place(self) -> None:
        """Say what is wrong with the place in better words than SQLite's, which cannot open a file."""
        path = self.path
        if path.is_dir():
            raise FileError(path, "is a folder; give the name of a file")
        if self._read_only and not path.exists():
            raise FileError(path, "there is no such file")
        if not path.parent.is_dir():
            raise FileError(path, f"cannot be written: the folder {path.parent} does not exist; create it first")
        if path.exists() and not os.access(path, os.R_OK):
            raise FileError(path, "cannot be read: permission denied")
        if not self._read_only and not (os.access(path.parent, os.W_OK) and os.access(self._existing(), os.W_OK)):
            raise FileError(path, "cannot be written: permission denied; choose another place")

    def _existing(self) -> Path:
        return self.path if self.path.exists() else self.path.parent

    def _connect(self) -> sqlite3.Connection:
        address = f"file:{quote(os.fsencode(self.path.absolute()))}?mode={'ro' if self._read_only else 'rwc'}"
        log = self.path.with_name(self.path.name + "-wal")
        if self._read_only and not log.exists() and not os.access(self.path.parent, os.W_OK):
            address += "&immutable=1"  # else SQLite would create files beside it, where it cannot
        # Transactions are begun and ended by `_writing` alone, and its lock lets one thread at a time in.
        return sqlite3.connect(address, uri=True, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)

    def _prepare(self) -> None:
        database = self._database
        if not self._read_only and self._pragma("application_id") == 0:
            self._create()
        application, version = self._pragma("application_id"), self._pragma("user_version")
        if application != APPLICATION_ID:
            raise FileError(self.path, "is not a history, but a database of another program; give another file")
        if version > VERSION:
            known = f"version {version} of its schema, and this one knows up to {VERSION}"
            raise FileError(self.path, f"was written by a newer audioinceptionnext ({known}); update this one")
        # FULL, not NORMAL: what was printed stays also after a power cut. It costs one fsync for each segment.
        database.execute("PRAGMA synchronous = FULL")

    def _pragma(self, name: str) -> int:
        return int(self._database.execute(f"PRAGMA {name}").fetchone()[0])

    def _create(self) -> None:
        """Make a new or empty file a history. Of several processes at once, one does it, and the others wait."""
        database = self._database
        if database.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]:
            return
        until = time.monotonic() + _BUSY_S
        while True:
            try:
                database.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError as error:  # SQLite does not wait for others here
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                    raise
                time.sleep(0.02)
        with self._writing():
            if database.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]:
                return
            for statement in _SCHEMA:
                database.execute(statement)
            database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            database.execute(f"PRAGMA user_version = {VERSION}")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn SQLite's errors into those of this package."""
        try:
            yield
        except sqlite3.Error as error:
            raise FileError(self.path, self._reason(error)) from error

    def _reason(self, error: sqlite3.Error) -> str:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_NOTADB:
            kind = kind_of_file(self.path)
            return f"is {kind}, not a history; give another file"
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
            return f"cannot be {'read' if self._read_only else 'written'}: {error}; choose another place"
        if code == sqlite3.SQLITE_FULL:
            return "cannot be written: the disk is full"
        if code == sqlite3.SQLITE_BUSY:
            return f"another program has kept it locked for {_BUSY_S:.0f} s; close that program"
        if code == sqlite3.SQLITE_CORRUPT:
            return f"is damaged ({error}); `sqlite3 {self.path.name} .recover` saves what can be read"
        return f"cannot be {'read' if self._read_only else 'used'}: {error}"

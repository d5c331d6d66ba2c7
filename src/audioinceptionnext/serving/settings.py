"""What a server offers, and how much it accepts."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path

from audioinceptionnext.errors import ParameterError

FOLDER_PREFIX = "ainext-serve-"  # of the folder for uploads, in the system's temporary one
RESULTS_FOLDER = "results"  # in it
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True)
class Settings:
    """The settings of one server.

    Attributes:
        models: names of shipped models, or paths of ONNX files; the first is the default. None offers all shipped ones.
        workers: recordings that are recognised at a time, each on one core.
        queue: recordings that may wait for a worker; more are refused with 503.
        uploads: uploads that may be under way at a time; more are refused with 503.
        streams: live streams that may be open at a time; more are refused.
        max_bytes: size of an upload; larger ones are refused with 413.
        max_seconds: length of a recording; longer ones are refused with 413.
        idle_seconds: an upload or a live stream that sends nothing for this long is ended.
        min_upload_rate: bytes per second that an upload has to reach on average, once it has taken ``idle_seconds``.
        decode_seconds: CPU time that decoding an upload may take, besides a tenth of the length of its sound. A damaged
            file can keep a decoder busy without a sample.
        results: results that are kept for links to them, the latest ones; 0 keeps none.
        result_bytes: size of all results that are kept, on disk.
        result_seconds: time for which a result is kept at most.
        api_key: what clients send in ``X-API-Key`` or ``Authorization: Bearer``; if it is empty, no key is needed.
        hosts: host names that requests may be addressed to; any, if it is empty. ``*.example.org`` stands for all names
            below example.org. This keeps pages of other sites from reaching a server on loopback through a host name of
            their own.
        origins: sites, besides the server's own, whose pages may call it.
        history: the database in which live streams are recorded, and which the server shows. None keeps no history.
        keep: the folder of clips that belong to the history. None keeps no clips.
        keep_max_mb, keep_max_days: the oldest clips are deleted beyond them; no limit if None.
        rules: the file of the rules that watch live streams. None raises no alerts.
        corrections: the folder in which recordings are stored with the segments that people have corrected. None stores
            nothing.
        teach: whether clients may teach models sounds of their own, which are then offered to all.
        taught: the folder in which models that were taught are kept. None forgets them when the server stops.

    Raises:
        ParameterError: a host name or a site is written in a way that no request could match, or clips are to be kept
            without a history or with a limit that is not above 0.
    """

    models: tuple[str, ...] | None = None
    workers: int = 1
    queue: int = 16
    uploads: int = 16
    streams: int = 8
    max_bytes: int = 1_000_000_000
    max_seconds: float = 4 * 3600.0
    idle_seconds: float = 20.0
    min_upload_rate: float = 5_000.0
    decode_seconds: float = 20.0
    results: int = 1000
    result_bytes: int = 200_000_000
    result_seconds: float = 24 * 3600.0
    api_key: str = field(default="", repr=False)
    hosts: tuple[str, ...] = LOOPBACK
    origins: tuple[str, ...] = ()
    history: Path | None = None
    keep: Path | None = None
    keep_max_mb: float | None = None
    keep_max_days: float | None = None
    rules: Path | None = None
    corrections: Path | None = None
    teach: bool = False
    taught: Path | None = None

    def __post_init__(self) -> None:
        if self.keep and not self.history:
            raise ParameterError("keep", self.keep, "give a history, too, which says what each clip is of")
        for name in ("keep_max_mb", "keep_max_days"):
            if (value := getattr(self, name)) is not None and not (self.keep and value > 0):
                reason = "give a number above 0" if self.keep else "give a folder of clips, too"
                raise ParameterError(name, value, reason)
        for host in self.hosts:
            if re.search(r"[/,\s]|^[^\[].*:", host):
                reason = "give the name alone, without a port or https://, such as sounds.example.org"
                raise ParameterError("hosts", host, reason)
            if host != "*" and "*" in host.removeprefix("*."):
                raise ParameterError("hosts", host, "an asterisk stands for whole names: write *.example.org")
        for origin in self.origins:
            if not re.fullmatch(r"https?://[^/,\s]+", origin):
                raise ParameterError("origins", origin, "give the site as browsers do, such as https://example.org")


def is_loopback(host: str) -> bool:
    """Whether a server that binds to this address can be reached from this computer only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

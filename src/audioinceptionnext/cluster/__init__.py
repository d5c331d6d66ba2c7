"""Batch recognition over many cores and machines with Ray Data: ``ainext predict --on ray``.

    sources.py  files, folders, patterns, lists and object stores, listed lazily
    stores.py   object stores through pyarrow
    arrivals.py recordings as files of the machine that hears them
    worker.py   what runs on the workers: a model held, tasks of a few recordings each
    folder.py   the results: JSON lines and Parquet, resumable; lines.py, their files
    machines.py a cluster, this machine's or an existing one, and its noise
    run.py      all of it together

Results are read back without Ray: ``read_results("DIR")``.
"""

from __future__ import annotations

from audioinceptionnext.cluster.result_folder import read_failed, read_results

__all__ = ["read_failed", "read_results"]

"""Batch recognition over many cores and computers with Ray Data: ``ainext batch``.

    types.py          what the parts share
    listing.py        files, folders, patterns, lists and object stores, listed lazily
    object_stores.py  object stores through pyarrow
    downloads.py      recordings become local files of the worker that recognises them
    worker.py         what runs on the workers: a process that holds the model, and tasks of a few recordings each
    result_folder.py  the results: JSON lines and Parquet, resumable
    json_lines.py     the files in that folder
    ray_cluster.py    the Ray cluster, on this computer or an existing one, and its log
    progress.py       counts, the progress line and the summary
    run.py            all of it together

Results can be read without Ray: ``read_results("DIR")``.
"""

from __future__ import annotations

from audioinceptionnext.cluster.result_folder import read_failed, read_results

__all__ = ["read_failed", "read_results"]

"""``ainext benchmark``: speed, memory and agreement of networks and backends, measured side by side on one computer.

rows.py         what is compared, as data          backends.py     what computes a row, in its own process
subjects.py     the networks and files of the rows process.py     starts such a process and talks to it (worker.py)
measurement.py  the measurement                    accuracy.py    the top-1 accuracy (or mAP) of each row on a data set
hardware.py     what it was measured on            roofline.py    how close to the hardware's limits (profile.py)
tables.py       JSON, table, Markdown              plot.py        the chart
end_to_end.py   from a file to segments, stage by stage
"""

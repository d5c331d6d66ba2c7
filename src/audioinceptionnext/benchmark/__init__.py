"""``ainext benchmark``: speed, memory and agreement, side by side, on the machine that runs it.

rows.py       what is compared, as data          engines.py   what runs a row, in a process of its own
networks.py   the files that the rows run         process.py   such a process, and how it is talked to (child.py)
rounds.py     the measurement                     accuracy.py  a dataset's clips through each row
machine.py    what it was measured on             roofline.py  how near to the machine's limits; parts.py  by part
report.py     JSON, table, Markdown               pareto.py    the picture
"""

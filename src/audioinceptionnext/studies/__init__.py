"""``ainext study``: questions about networks and training, as data, and the training runs that decide them.

study.py    a study as data (shipped/*.yaml)      results.py      what the runs say together
plan.py     which runs it needs                   sentences.py    the same in words
estimate.py how long they will take               plots.py        and in pictures
runner.py   starts the runs (worker.py)           report_page.py  the report
cost.py     time and memory of the networks       session.py      from the plan to the report
"""

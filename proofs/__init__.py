"""The slow proofs and their tables, each row bound to the sources that it proves.

sources.py     what a row can be bound to, and which rows are stale
tables.py      rows in a JSON file, and the page that is printed from them
exercises.py   every check against known mistakes, right answers, tricks and broken solutions
broken_solutions.py   the solutions, broken in every way mutmut knows
cases.py       what the inputs of an exercise leave out
strangers      answers written from the statements alone, and what each is told
retold         the known mistakes, each written a second time
mutation.py    the equations, broken in every way mutmut knows, against their tests
attacks.py     hostile submissions against the grading
verdicts.py    every chapter over seeds, budgets and processors
processors.py  the processors that one machine can play
repeat.py      every chapter on each of them, the same outputs
sets.py        the sets of versions that the book runs in
versions.py    every student notebook in each of them, and where the pins can be installed
machines.py    the record of both: chapters, processors and versions
play_in_lab.py the figures to play with in a real JupyterLab
newcomer.py    somebody who opens the book in JupyterLab for the first time
"""

"""The classroom: hand out exercises, grade what comes back, pass on the marks.

kit.py          what `assign` writes, and how it is read back
handout.py      the student's notebook, the key and the rubric
variants.py     other numbers, shapes and names for each student
nbgrader.py     the same assignment as an nbgrader source tree
submissions.py  finds the notebooks that were handed in, whose they are, and the answers in them
sandbox/        the wall: runs a student's code under bubblewrap
grading.py      one submission in, one record out; a whole class over an executor
gradebook.py    the records, one file per student
reports.py      pages for the students and for the instructor; similarity.py finds similar pairs
export.py       the marks as CSV, for Canvas and for Moodle

It runs from a checkout of the book: ``python -m classroom --help``.
"""

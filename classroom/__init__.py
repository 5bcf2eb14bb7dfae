"""The classroom: hand out exercises, grade what comes back, pass on the marks.

kit.py          what `assign` writes, and how it is read back
handout.py      the student's notebook, the key and the rubric
variants.py     other numbers, shapes and names for each student
nbgrader.py     the same assignment as an nbgrader source tree
roster.py       who is in the class, as spreadsheets write it
submissions.py  the files that were handed in, and whose they are; whois.py shows it
answers.py      where in a notebook the answers stand
sandbox/        the wall: reads a notebook and runs a student's code under bubblewrap
grading.py      one submission in, one record out; a whole class over an executor
gradebook.py    the records, one file per student; overrides.py what a human set
reports.py      pages for the students and for the instructor; similarity.py finds similar pairs
export.py       the marks as CSV, for Canvas and for Moodle

It runs from a checkout of the book: ``python -m classroom --help``.
"""

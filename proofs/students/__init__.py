"""Made-up students, whom tests, proofs and benchmarks share.

answers.py      stubs and solutions from the chapters; right answers in other clothes
tricks.py       wrong answers: without thought, of the right form alone, by trickery
hostile.py      submissions that attack the grading, and what stops each
whole_class.py  a class of 40, in the forms in which people send their notebooks
"""

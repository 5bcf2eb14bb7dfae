"""Runs an answer and records what it did. It imports nothing of ours: it can stand alone.

outcome.py   what an answer is called with, and what comes back, in plain data
runner.py    calls an answer on every case
watching.py  what is noticed meanwhile: forbidden calls, printing, time, replaced functions
plain.py     values made plain: exact arrays, numbers and text, to compare and to send
"""

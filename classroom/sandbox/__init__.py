"""The wall between our code and a student's: a Python shut in by bubblewrap.

outside.py  our side: starts the sandbox, asks it, reads what comes back as from an enemy
server.py   inside, trusted: forks a child for each request, watches it, wipes what it leaves
limits.py   inside: what closes around a child before a student's code runs
answer.py   inside: the child itself, which runs a student's code

What enters it: server.py, limits.py, answer.py, attnlib's own modules and attnlib/running.
"""

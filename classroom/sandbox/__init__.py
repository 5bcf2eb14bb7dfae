"""The wall between our code and a student's: a Python shut in by bubblewrap.

limits.py        both sides: time, memory, files, threads; what closes around a child
outside.py       our side: starts the sandbox, asks it, reads what comes back as from an enemy
server.py        inside, trusted: forks a child for each request, watches it, wipes what it leaves
system_calls.py  inside: the filter of system calls; call_numbers.py their numbers
reading.py       inside: reads a notebook, and says what its cells hold
bans.py          inside: functions that an exercise does without
answer.py        inside: the child itself, which runs a student's code

What enters it: server.py and what is inside, attnlib's own modules and attnlib/running.
"""

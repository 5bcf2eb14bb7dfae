"""Runs an answer and records what it did. It imports nothing of ours, so that it can stand alone."""

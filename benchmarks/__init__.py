"""attnlib beside its peers: ``python -m benchmarks`` measures, and writes what it measured."""

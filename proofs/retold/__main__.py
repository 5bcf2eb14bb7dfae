"""``python -m proofs.retold [4 5.1 ...]``: the known mistakes that have been written once only."""

import sys

from . import once_only

for id, mistake in once_only():
    if len(sys.argv) == 1 or {id, id.partition(".")[0]} & set(sys.argv):
        print(f"{id}  {mistake.name}: {mistake.sentence}")

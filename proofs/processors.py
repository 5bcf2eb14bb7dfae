"""The processors that one machine can play: what to set before Python starts.

A product of matrices is summed in another order by another instruction set, so that the last
digits of a result belong to a processor. What the book prints must not.
"""

import os
import platform

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

# The names in NPY_DISABLE_CPU_FEATURES are those of numpy 2.4; older ones switch nothing off.
PROCESSORS = {
    "native": {},
    "AVX2": {
        "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "ONEDNN_MAX_CPU_ISA": "AVX2", "OPENBLAS_CORETYPE": "Haswell",
        "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR"},
    "SSE 4.2": {
        "ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "ONEDNN_MAX_CPU_ISA": "SSE41", "OPENBLAS_CORETYPE": "Nehalem",
        "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR"},
    "another order of sums": {"MKL_CBWR": "COMPATIBLE", "ATEN_CPU_CAPABILITY": "avx2"},
}


def playable():
    """The names in PROCESSORS that this machine can play: on another kind than x86, its own."""
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    return [name for name in PROCESSORS if x86 or name == "native"]


def environment(name, threads=1):
    """The environment in which a process plays a processor, with so many threads.

    Args:
        name: of PROCESSORS.
        threads: whole number.

    Returns:
        A dictionary for ``subprocess``: this process's own environment, changed.
    """
    ours = {variable for played in PROCESSORS.values() for variable in played}
    kept = {key: value for key, value in os.environ.items() if key not in ours}
    return kept | PROCESSORS[name] | dict.fromkeys(THREADS, str(threads))

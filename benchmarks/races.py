"""Who runs against whom: at which lengths, in time and in memory."""

from . import report

LENGTHS = (1024, 2048, 4096, 8192, 16384)
BACKWARD = ("local_attention, with backward", "local-attention package, with backward")
RACES = [
    *((n, ("local_attention", "local-attention package", "flex_attention")) for n in LENGTHS),
    (8192, BACKWARD),
    *((n, ("chunked_attention", "torch SDPA", "naive")) for n in LENGTHS[:-1]),
    (16384, ("chunked_attention", "torch SDPA")),
    *((n, ("selected_attention", "SDPA with a mask")) for n in LENGTHS),
    (2048, ("attention", "the formula")),
]
MEMORY = {
    "local_attention": LENGTHS, "local-attention package": LENGTHS, "flex_attention": LENGTHS,
    "chunked_attention": LENGTHS, "torch SDPA": LENGTHS, "naive": LENGTHS[:-1],
    "chunked_attention, with backward": LENGTHS[1:],
}
PLAYED = ("AVX2", "SSE 4.2")  # of `processors`: there, shorter races
SHORT = (2048, 8192)
CANNOT = {"AVX2": {"naive"},  # who does not race there: naive is slow,
          "SSE 4.2": {"naive", "flex_attention"}}  # torch 2.13 compiles no flex_attention
CACHE = {"KeyValueCache, window 256": (report.WINDOW, LENGTHS),
         "KeyValueCache, no window": (None, LENGTHS[:3])}
OURS = {"attention": "attention", "local_attention": "multilevel",
        "chunked_attention": "multilevel", "selected_attention": "multilevel",
        "ring_attention": "multilevel", "KeyValueCache": "layers"}


def races(label):
    """What is run, [(length, names)], on this machine as it is ("native") or as one it plays.

    >>> races("SSE 4.2")[0]
    (2048, ['local_attention', 'local-attention package'])
    """
    if label == "native":
        return RACES
    return [(n, [name for name in names if name not in CANNOT[label]])
            for n, names in RACES if n in SHORT]

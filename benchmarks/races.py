"""Who runs against whom: at which lengths, in time and in memory."""

from . import report

LENGTHS = (1024, 2048, 4096, 8192, 16384)
BACKWARD = ("local_attention, with backward", "local-attention package, with backward")
RACES = [
    *((n, ("local_attention", "local-attention package", "flex_attention")) for n in LENGTHS),
    (8192, BACKWARD),
    *((n, ("chunked_attention", "torch SDPA", "naive")) for n in LENGTHS[:-1]),
    (16384, ("chunked_attention", "torch SDPA")),
    *((n, ("selected_attention", "SDPA with a mask")) for n in LENGTHS[:-1]),
    (2048, ("attention", "the formula")),
]
MEMORY = {
    "local_attention": LENGTHS, "local-attention package": LENGTHS, "flex_attention": LENGTHS,
    "chunked_attention": LENGTHS, "torch SDPA": LENGTHS, "naive": LENGTHS[:-1],
    "chunked_attention, with backward": LENGTHS[1:],
}
PLAYED = ("AVX2", "SSE 4.2")  # of `processors`; there, the races without `naive` at these lengths
SHORT = (2048, 8192)
CACHE = {"KeyValueCache, window 256": (report.WINDOW, LENGTHS),
         "KeyValueCache, no window": (None, LENGTHS[:3])}
OURS = {"attention": "attention", "local_attention": "multilevel",
        "chunked_attention": "multilevel", "selected_attention": "multilevel",
        "ring_attention": "multilevel", "KeyValueCache": "layers"}

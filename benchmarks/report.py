"""What was measured, against its goals: as a table and as a picture."""

import itertools
import math
from dataclasses import dataclass

from proofs import tables

WINDOW = 256
WINDOWED = ("local-attention package", "flex_attention", "local_attention")
FULL = ("naive", "torch SDPA", "chunked_attention")


@dataclass(frozen=True)
class Goal:
    """A bound on something measured; ``why`` says what stands in the way where it is missed."""

    what: str
    bound: float
    at_least: bool
    measured: float | None  # None: could not be measured here
    why: str

    @property
    def met(self):
        if self.measured is None:
            return False
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound

    def row(self):
        sign = "≥" if self.at_least else "≤"
        narrowly = not self.met and f"{self.measured or 0:.2f}" == f"{self.bound:.2f}"
        measured = ("not measured" if self.measured is None else
                    "at no length" if self.measured == math.inf else
                    f"{self.measured:d}" if isinstance(self.measured, int) else
                    f"{self.measured:.{3 if narrowly else 2}f}")
        return [self.what, f"{sign}\N{NO-BREAK SPACE}{self.bound:g}", measured,
                "met" if self.met else "" if self.measured is None else f"**missed**: {self.why}"]


def growth(by_length):
    """The exponent of n by least squares on the logarithms: 1 is linear, 2 quadratic.

    >>> round(growth({1: 3.0, 2: 12.0, 4: 48.0}), 6)
    2.0
    """
    xs, ys = [math.log(n) for n in by_length], [math.log(y) for y in by_length.values()]
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((a - x) * (b - y) for a, b in zip(xs, ys)) / sum((a - x) ** 2 for a in xs)


def measured(by_length):
    """Milliseconds by length, of what had at least three undisturbed samples."""
    return {n: result["milliseconds"] for n, result in by_length.items() if result["clean"] >= 3}


def sensible(by_length):
    """Whether times grow from length to length as work can: by 1.2 to 8 times when n doubles.

    >>> sensible({1024: 10.0, 2048: 20.0}), sensible({1024: 10.0, 2048: 9.0})
    (True, False)
    >>> sensible({1024: 10.0, 4096: 160.0}), sensible({1024: 10.0, 4096: 12.0})
    (True, False)
    """
    pairs = itertools.pairwise(sorted(by_length.items()))
    return all(1.2 < (time / before) ** (1 / math.log2(n / shorter)) < 8
               for (shorter, before), (n, time) in pairs)


def ahead(ours, theirs):
    """The least length from which on ours is faster at every length measured.

    It is infinite where ours is not, and None where no length of both was measured.

    >>> ahead({1: 5.0, 2: 6.0, 4: 7.0}, {1: 4.0, 2: 8.0, 4: 9.0})
    2
    >>> ahead({1: 5.0}, {1: 4.0}), ahead({1: 5.0}, {2: 4.0})
    (inf, None)
    """
    both = sorted(set(ours) & set(theirs), reverse=True)
    first = math.inf if both else None
    for n in both:
        if ours[n] >= theirs[n]:
            break
        first = n
    return first


def goals(times, memory):
    """The goals, from ``times[name][n]["milliseconds"]`` and ``memory[name][n]`` in MiB."""
    known = {name: measured(by_length) for name, by_length in times.items()}

    def slower(name, other, n=8192):
        one, two = (known.get(name, {}).get(n) for name in (name, other))
        return None if one is None or two is None else one / two

    def larger(name, other, n=8192):
        one, two = (memory.get(name, {}).get(n) for name in (name, other))
        return None if one is None or two is None else one / two

    local = {n: time for n, time in known.get("local_attention", {}).items() if n >= 2048}
    training = memory.get("chunked_attention, with backward") or {}
    doubling = max((training[2 * n] / training[n] for n in training if 2 * n in training),
                   default=None)
    cache = memory.get("KeyValueCache, window 256") or {}
    package, backward = "local-attention package", ", with backward"
    return [
        Goal("`local_attention`, window 256, causal: times faster than the local-attention "
             "package", 4, True, slower(package, "local_attention"),
             "both spend their time in the same two products"),
        Goal("the same: times less extra memory", 8, True, larger(package, "local_attention"),
             "the output alone takes 16 MiB"),
        Goal("the same, forward and backward: times faster", 2.5, True,
             slower(package + backward, "local_attention" + backward),
             "windows overlap, so that only every ninth is added up at once, by products too small "
             "for both cores"),
        Goal("`local_attention`: time relative to compiled flex_attention", 1, False,
             slower("local_attention", "flex_attention"),
             "a block of 32 queries computes 287 scores per query to use 256"),
        Goal("`local_attention`: exponent of its time over 2048 to 16384", 1.2, False,
             growth(local) if len(local) > 2 and sensible(local) else None,
             "longer inputs no longer fit into the processor's cache"),
        Goal("`chunked_attention`, causal: times faster than naive", 4, True,
             slower("naive", "chunked_attention"), "the products alone take most of the time"),
        Goal("the same: times less extra memory", 50, True, larger("naive", "chunked_attention"),
             "one block of scores, a copy of it and the output remain"),
        Goal("`chunked_attention`, causal: time relative to torch SDPA", 1.5, False,
             slower("chunked_attention", "torch SDPA"),
             "SDPA is one fused kernel; here each step of a block is a call that reads and "
             "writes the block once more, and two cores wait for each other at every call"),
        Goal("`chunked_attention`, forward and backward: growth of its extra memory when n "
             "doubles, at most, 2048 to 16384", 2.2, False, doubling,
             "what is made once per call weighs more at short lengths"),
        Goal("`attention`, no mask, n = 2048: time relative to the formula", 1.6, False,
             slower("attention", "the formula", 2048),
             "a row that sees nothing is looked for, and so is a NaN that must stay hidden"),
        Goal("`selected_attention`, 4 chunks of 64 and a window of 256: the length from which it "
             "is faster than SDPA with a mask of as many keys", 8192, False,
             ahead(known.get("selected_attention", {}), known.get("SDPA with a mask", {})),
             "what each query chose is put into blocks before anything is computed"),
        Goal("`KeyValueCache` with a window of 256: memory after 16384 positions, relative to 1024",
             1, False, cache[16384] / cache[1024] if cache else None,
             "it keeps what no later query can see"),
        Goal("`ring_attention`, causal and dealt zig-zag to two processes: times faster than with "
             "all keys", 1.7, True, slower("ring_attention, all keys", "ring_attention, causal"),
             "keys travel as far for half the work"),
    ]


def numbered(results):
    """Results as they were stored, with lengths that are numbers again."""
    return results | {part: {name: {int(n): x for n, x in by_length.items()}
                             for name, by_length in results[part].items()}
                      for part in ("times", "memory")}


def markdown(results, stale=(), played=False):
    """The tables of one processor; of one that is played, without the goals that it does not try.
    """
    lengths = sorted({n for by_length in results["times"].values() for n in by_length})
    names = dict.fromkeys((*results["times"], *results["memory"]))
    rows, odd = [], []
    for name in names:
        by_length = results["times"].get(name, {})
        cells, known = [], measured(by_length)
        if not sensible(known):
            odd.append(name)
        for n in lengths:
            mib = results["memory"].get(name, {}).get(n)
            time = f"{known[n]:.1f}" if n in known else "not measured" if n in by_length else "-"
            cells.append(f"{time} / " + (f"{mib:.0f}" if mib is not None else "-"))
        rows.append([tables.marked(name, stale), *cells])
    parts = [
        tables.markdown(["what", "goal", "measured", "result"],
              [goal.row() for goal in goals(results["times"], results["memory"])
               if not played or goal.measured is not None]),
        "Milliseconds (median) / MiB of extra memory (peak, output included), by length:",
        tables.markdown(["", *map(str, lengths)], rows, right=range(1, len(lengths) + 1)),
        *([f"These times do not grow as work can, and are not to be trusted: {', '.join(odd)}."]
          if odd else []),
        f"Measured on {tables.day(results['date'])}: {results['machine']}.",
    ]
    return "\n\n".join(parts) + "\n"


def page(stored, stale=()):
    """The tables of every processor that there is."""
    parts = [
        "# attnlib beside its peers",
        "float32, batch 1, heads 8, width 64; n = 8192 where nothing else is said. A dash: not "
        "tried. Not measured: there were fewer than three undisturbed samples.",
        *tables.notes(stale),
    ]
    for where, results in stored["processors"].items():
        here = {name for name in results["rows"] if f"{name} on {where}" in stale}
        parts += [f"## {where}", markdown(numbered(results), here, "playing" in where).rstrip()]
    parts += ["## How it is measured", *dict.fromkeys(
        sentence for results in stored["processors"].values() for sentence in results["method"])]
    drawn = f"Drawn, as measured on {stored['drawn']}:" if "drawn" in stored else ""
    parts += [drawn, "![Time and extra memory against the length](results.png)"]
    return "\n\n".join(filter(None, parts)) + "\n"


def picture(results, path):
    """Time and memory against the length, on logarithmic axes: a PNG, and an SVG for the site."""
    from attnlib import plots
    canvas = plots.figure(height=6.8).figure
    canvas.clear()
    measures = {
        "time in ms": {name: measured(by_length) for name, by_length in results["times"].items()},
        "extra memory in MiB": results["memory"],
    }
    grid = canvas.subplots(2, 2, sharex=True, sharey="row")
    for row, (unit, numbers) in zip(grid, measures.items()):
        for axes, names in zip(row, (WINDOWED, FULL)):
            lengths = sorted({n for name in names for n in numbers.get(name, {})})
            lines = {name: [numbers.get(name, {}).get(n, math.nan) for n in lengths]
                     for name in names}
            plots.curves(lengths, lines, marks=True, axes=axes)
            axes.set(xscale="log", yscale="log")
            axes.set_xticks(lengths, [f"{n // 1024}" for n in lengths])
            axes.minorticks_off()
            axes.get_legend().remove()
        row[0].set_ylabel(unit)
    for top, bottom, title in zip(*grid, (f"window {WINDOW}", "all keys, causal")):
        top.set_title(title, loc="left")
        top.legend(loc="lower left", bbox_to_anchor=(-0.05, 1.1))
        bottom.set_xlabel("n in units of 1024")
    canvas.savefig(path, dpi=160)
    canvas.savefig(path.with_suffix(".svg"), metadata={"Date": None})

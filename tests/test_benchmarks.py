"""The measuring itself: what is kept, what is thrown away, and what the table says of it."""

from itertools import count
from pathlib import Path

import pytest
import torch

from benchmarks import __main__ as command
from benchmarks import contenders, measure, report, ring
from benchmarks.__main__ import machine, method
from benchmarks.races import MEMORY, RACES

PEERS = Path(report.__file__).parent / "requirements.txt"


def test_a_busy_neighbour_is_filtered_out():
    quiet, busy = (1.0, 0.0), (9.0, 0.5)
    assert measure.summary([quiet, busy, (3.0, 0.01), busy, (2.0, 0.0)]) == dict(
        milliseconds=2000, clean=3, samples=5)


def test_disturbed_samples_count_for_nothing():
    samples = [(5.0, 0.9), (1.0, 0.2), (2.0, 0.3), (3.0, 0.4), (9.0, 0.0)]
    assert measure.summary(samples) == dict(milliseconds=9000, clean=1, samples=5)
    assert measure.summary(samples[:4]) == dict(milliseconds=None, clean=0, samples=4)


def test_without_proc_every_sample_counts():
    assert measure.summary([(1.0, None), (2.0, None), (6.0, None)])["clean"] == 3


def test_a_race_is_interleaved_and_ends_when_it_has_enough(monkeypatch):
    calls = []
    monkeypatch.setattr(measure, "SAMPLE", 0)
    monkeypatch.setattr(measure, "others_cpu", lambda: None)
    result = measure.race({name: lambda name=name: calls.append(name) for name in "ab"})
    assert "".join(calls) == "ab" * (1 + measure.ROUNDS)
    assert result["a"]["clean"] == result["b"]["samples"] == measure.ROUNDS


def test_a_race_ends_in_time_when_nothing_is_clean(monkeypatch):
    ticks = count()
    monkeypatch.setattr(measure, "SAMPLE", 0)
    monkeypatch.setattr(measure, "LIMIT", 0.05)
    monkeypatch.setattr(measure, "others_cpu", lambda: 1e6 * next(ticks))
    assert measure.race({"a": lambda: torch.zeros(9)})["a"]["clean"] == 0


def test_our_own_time_and_idle_time_are_not_others(monkeypatch, tmp_path):
    (tmp_path / "stat").write_text("cpu 200 20 100 9999 999 5 5 70 0 0\ncpu0 1 1 1 1\n")
    monkeypatch.setattr(measure, "Path", lambda path: tmp_path / "stat")
    monkeypatch.setattr(measure.os, "sysconf", lambda name: 100)
    monkeypatch.setattr(measure.os, "times", lambda: (0.5, 0.25, 0.125, 0.125, 77.0))
    assert measure.others_cpu() == 4.0 - 1.0
    monkeypatch.setattr(measure, "Path", lambda path: tmp_path / "missing")
    assert measure.others_cpu() is None


def test_the_peak_counts_what_is_made_and_freed():
    mebi = 2**18  # float32 numbers in a MiB
    assert measure.peak_of(lambda: torch.ones(64 * mebi)) == pytest.approx(64, abs=3)
    assert measure.peak_of(lambda: torch.ones(32 * mebi).sum()) == pytest.approx(32, abs=3)
    assert measure.peak_of(lambda: (torch.ones(32 * mebi) + 1).sum()) == pytest.approx(64, abs=3)


def results(factor=1.0):
    """Invented numbers, in which every peer takes ``factor`` times as long and as much."""
    def invented(name, n, power):
        ours = name.split(",")[0] in (
            "local_attention", "chunked_attention", "selected_attention", "attention")
        return (1.0 if ours else factor) * n**power

    times = {}
    for n, names in RACES:
        for name in names:
            times.setdefault(name, {})[n] = dict(milliseconds=invented(name, n, 1.5), clean=9,
                                                 samples=9)
    for name, milliseconds in zip(ring.NAMES, (1.0, 1.9)):
        times[name] = {ring.LENGTH: dict(milliseconds=milliseconds, clean=9, samples=9)}
    memory = {name: {n: invented(name, n, 1) for n in lengths} for name, lengths in MEMORY.items()}
    memory["KeyValueCache, window 256"] = {1024: 3.0, 16384: 3.0}
    return dict(date="2000-01-01", machine="a machine", method=["in some way"], times=times,
                memory=memory)


def test_goals_are_read_off_the_numbers():
    invented = results(factor=10.0)
    outcome = report.goals(invented["times"], invented["memory"])
    measured = [goal.measured for goal in outcome]
    assert measured == pytest.approx([10, 10, 10, 0.1, 1.5, 10, 10, 0.1, 2, 0.1, 1024, 1, 1.9])
    assert [goal.met for goal in outcome] == [True] * 4 + [False, True, False] + [True] * 6
    assert [goal.what.partition(",")[0] for goal in report.goals(results(0.5)["times"], {})
            if goal.at_least and goal.met] == ["`ring_attention`"]


def test_the_table_says_what_is_missed_and_why():
    text = report.markdown(results(factor=10.0))
    assert text.count("**missed**: longer inputs no longer fit") == 1
    assert text.count("| met |") == 11 and "| not measured |" not in text and "grow as" not in text
    assert "1 January 2000: a machine" in text


def test_a_goal_that_is_missed_by_little_does_not_read_as_met():
    assert [report.Goal("", 1.5, False, measured, "").row()[2]
            for measured in (1.502, 1.51, 1.498, 1.5)] == ["1.502", "1.51", "1.50", "1.50"]


def test_no_figure_is_printed_that_was_not_measured():
    """Neither in the table, nor in a goal that needs it, nor in the picture."""
    without = results(3.0)
    without["memory"] = {}
    for n, milliseconds in ((1024, 77777.7), (8192, None)):
        without["times"]["naive"][n] = dict(milliseconds=milliseconds, clean=2, samples=9)
    text = report.markdown(without)
    assert text.count("not measured / -") == 2 and "77777.7" not in text
    goals = report.goals(without["times"], {})
    assert [goal.what for goal in goals if goal.measured is None and "memory" not in goal.what] == [
        "`chunked_attention`, causal: times faster than naive"]
    assert all(goal.row()[2:] == ["not measured", ""] for goal in goals if goal.measured is None)


def test_times_that_do_not_grow_are_not_trusted():
    odd = results()
    odd["times"]["local_attention"][16384]["milliseconds"] = 1.0
    text = report.markdown(odd)
    assert "do not grow as work can, and are not to be trusted: local_attention." in text
    assert [goal.measured for goal in report.goals(odd["times"], odd["memory"])
            if "exponent" in goal.what] == [None]


def test_what_is_known_is_not_measured_again(monkeypatch, tmp_path):
    """But what was disturbed is, what has changed since is, and on another machine everything."""
    table = command.Table(**{**vars(command.TABLE), "stored": tmp_path / "results.json",
                             "page": tmp_path / "results.md"})
    monkeypatch.setattr(command, "TABLE", table)
    monkeypatch.setattr(command, "version", lambda package: "1")  # need not be installed here
    first = command.begun("AVX2", fresh=False)
    assert not first["times"] and not command.known(first, 8192, ["naive"])
    command.store("AVX2", first, 8192, {
        "chunked_attention": dict(milliseconds=2.0, clean=3, samples=9),
        "torch SDPA": dict(milliseconds=1.0, clean=2, samples=9)})
    again = command.begun("AVX2", fresh=False)
    assert command.known(again, 8192, ["chunked_attention"])
    assert not command.known(again, 8192, ["chunked_attention", "torch SDPA"])
    assert not command.known(again, 4096, ["chunked_attention"])
    assert "playing AVX2" in table.page.read_text() and not table.stale()
    assert not command.begun("AVX2", fresh=True)["times"]
    assert not command.begun("SSE 4.2", fresh=False)["times"]
    as_it_was = command.now()
    monkeypatch.setattr(command, "now", lambda: as_it_was | {"torch SDPA": "changed"})
    assert [*command.begun("AVX2", fresh=False)["times"]] == ["chunked_attention"]
    assert table.page.read_text() != table.printed() and table.printed().count("†") == 2
    monkeypatch.setattr(command, "machine", lambda: "4 cores (another), torch")
    assert not command.begun("AVX2", fresh=False)["times"]


def test_a_cache_with_a_window_does_not_grow():
    short, long, all_of_it = (contenders.held(contenders.cache(n, window, dim=64))
                              for n, window in ((512, 256), (2048, 256), (2048, None)))
    assert short == long < all_of_it / 4


def test_the_picture_is_drawn(tmp_path):
    report.picture(results(3.0), tmp_path / "results.png")
    assert (tmp_path / "results.png").stat().st_size > 20_000
    assert "<svg" in (tmp_path / "results.svg").read_text(encoding="utf-8")


def test_nothing_tells_whose_machine_it_was():
    import socket
    said = machine() + " ".join(method())
    assert socket.gethostname() not in said and "/home" not in said and str(Path.cwd()) not in said


def test_every_requirement_is_pinned():
    lines = [line for line in PEERS.read_text().splitlines() if not line.startswith("#")]
    assert lines and all("==" in line for line in lines)

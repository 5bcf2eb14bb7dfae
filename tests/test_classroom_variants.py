"""Other numbers for each student: every variant is an exercise as sound as the book's own."""

import itertools
import math
import re
from dataclasses import replace

import numpy as np
import pytest
import scipy.special

from attnlib.exercises import core, exercises, get, judging
from attnlib.exercises.registry import drawn
from classroom import handout, variants
from classroom.kit import Task
from proofs.students import answers

SEED = "5eed" * 8
VARY = [exercise for exercise in exercises() if exercise.vary]
each = pytest.mark.parametrize("exercise", VARY, ids=lambda exercise: exercise.id)


def draws(exercise, number=6):
    return list(dict.fromkeys(variants.draws(SEED, exercise.id, number)))


def texts(exercise, number=6):
    """The cells of each variant, and the variant itself."""
    found = variants.draws(SEED, exercise.id, number)
    task = Task(exercise.id, exercise.version, 1.0, *handout.heading(exercise.id), draws=found)
    return [handout.Texts(task, i) for i in range(1, number + 1)]


def test_numbers_and_functions_vary():
    assert len(VARY) >= 8
    assert {"by hand", "write"} <= {exercise.kind for exercise in VARY}


@each
def test_there_are_many_different_variants(exercise):
    found = variants.draws(SEED, exercise.id, 40)
    assert len(found) == 40 and len(set(found)) >= 8
    alike = list(itertools.takewhile(lambda i: found[i] not in found[:i], range(40)))
    period = len(alike)  # and then they come again in the same order
    assert found == (found[:period] * 40)[:40]
    right = [judging.expect(other, exercise.cases(0)) for other in (
        exercise, *(get(f"{exercise.id}/{draw}") for draw in dict.fromkeys(found)))]
    for a, b in itertools.combinations(right, 2):  # nor is any the book's own
        assert not judging.same(exercise, a, b)


@each
def test_a_seed_gives_the_same_variants_and_another_seed_others(exercise):
    assert variants.draws(SEED, exercise.id, 4) == variants.draws(SEED, exercise.id, 6)[:4]
    assert variants.draws("00", exercise.id, 4) != variants.draws(SEED, exercise.id, 4)
    assert variants.draws(SEED, exercise.id, 0) == ()


def test_what_does_not_vary_has_no_variants():
    assert variants.draws(SEED, "1.3", 5) == ()
    with pytest.raises(KeyError, match="There is no exercise .*1.3/aa"):
        get("1.3/aa")


@each
def test_a_variant_keeps_names_and_sentences_and_changes_the_words(exercise):
    chapter, cells = handout.in_book()[exercise.id]
    book = "\n".join(chapter.cells[i].source
                     for i in (cells.start, cells.stub, *cells.solution))
    book += "\n".join(exercise.hints)
    for draw in draws(exercise):
        other, words = drawn(exercise, draw)
        assert other.id == f"{exercise.id}/{draw}" and get(other.id).reference
        assert [(m.name, m.sentence, m.credit) for m in other.mistakes] == [
            (m.name, m.sentence, m.credit) for m in exercise.mistakes]
        missing = [text for text in words if text not in book]
        assert not missing, f"{exercise.id} replaces {missing}, which it does not say"
        statement = chapter.cells[cells.start].source
        assert core.reworded(statement, words) != statement


@each
def test_the_answer_passes_and_that_of_another_variant_does_not(exercise):
    found = [replace(drawn(exercise, draw)[0], forbidden=()) for draw in draws(exercise, 4)]
    for a, b in itertools.product(found, found):
        for seed in (0, 1):
            result = answers.judged(a, b.reference, seed)
            assert bool(result) is (a is b), (a.id, b.id, result.sentence)
    assert not any(answers.judged(a, exercise.reference, 0) for a in found)


@each
def test_the_mistakes_of_a_variant_are_made_with_its_numbers(exercise):
    cases = exercise.cases(0)
    for draw in draws(exercise, 3):
        pairs = zip(exercise.mistakes, get(f"{exercise.id}/{draw}").mistakes)
        other = [not judging.same(exercise, *(judging.behaviour(exercise, mistake.answer, cases)
                                              for mistake in pair)) for pair in pairs]
        assert sum(other) > 0.7 * len(other), f"{exercise.id}/{draw}"


@each
def test_every_mistake_of_a_variant_gets_its_own_sentence(exercise):
    for draw in draws(exercise, 3):
        other, _ = drawn(exercise, draw)
        for mistake in other.mistakes:
            result = answers.judged(other, mistake.answer, 1)
            alike = answers.alike(other, mistake)
            assert result.mistake in alike, f"{other.id}: {mistake.name} is {result.mistake}"
            assert result.sentence == alike[result.mistake].sentence


# What a student reads is what is checked: the numbers are read back from the statement.


def numbers(pattern, text):
    """The numbers that the groups of a pattern find."""
    return [float(number) for number in re.search(pattern, text).groups()]


def matrix(text):
    """The numbers of a matrix in LaTeX; ln 3 is a logarithm."""
    rows = [row.split("&") for row in text.strip().split(r"\\")]
    return np.array([[math.log(float(x.strip()[4:])) if r"\ln" in x else float(x) for x in row]
                     for row in rows])


def attention_on_paper(text):
    query = np.array(eval(re.search(r"q = (\(.+?\))", text)[1]))
    key, value = (matrix(found)
                  for found in re.findall(r"\\begin\{pmatrix\}(.+?)\\end", text, re.S))
    weights = scipy.special.softmax(key @ query / math.sqrt(len(query)))
    return {"weights": weights, "output": weights @ value}


def size_of_a_score(text):
    width, = numbers(r"d_k = (\d+)", text)
    of_query, below = numbers(r"variance (\d+), those of its keys variance\s+\$1/(\d+)\$", text)
    variance = width * of_query / below
    return {"variance": variance, "spread": variance ** 0.5, "scale": variance ** -0.5}


def sharpest(text):
    keys, best = numbers(r"meets (\w+) keys.* g = \\ln (\d+)".replace(" g", r".*g"),
                         text.replace("ten keys", "10 keys").replace("\n", " "))
    wanted, = numbers(r"weight of (0\.\d)", text)
    scores = np.append(math.log(best), np.full(int(keys) - 1, -math.log(best)))
    g = next(g for g in np.arange(0, 10, 1e-5)
             if 1 / (1 + (keys - 1) * math.exp(-2 * g)) >= wanted)
    return {"weight": scipy.special.softmax(scores)[0], "g": g}


def shares_on_paper(text):
    b, c, d = (math.log(float(x)) for x in re.findall(r"\\ln (\d+)", text))
    scores = np.array([0, b, c])
    four = scipy.special.softmax([0, b, c, d])
    return {"weights": scipy.special.softmax(scores), "cold": scipy.special.softmax(scores / 0.5),
            "four": four, "group": four[:3].sum()}


def mask_on_paper(text):
    scores = matrix(re.search(r"\\begin\{pmatrix\}(.+?)\\end", text, re.S)[1])
    visible = np.array([[j <= i and j < 3 for j in range(4)] for i in range(4)])
    weights = scipy.special.softmax(np.where(visible, scores, -np.inf), axis=1)
    return dict(zip(("second", "third", "fourth"), weights[1:]), pairs=visible.sum())


def how_many(text):
    n, window = numbers(r"mask of (\d+) positions.*window of (\d+) keys", text.replace("\n", " "))
    layers = ["Three", "Four", "Five"].index(re.search(r"(\w+) layers", text)[1]) + 3
    prompt, steps = numbers(r"prompt of (\d+) tokens.*?(\d+) more", text)
    assert numbers(r"output (\d+)", text) == [n]
    assert re.findall(r"(\d+) steps", text) == [f"{steps:.0f}"] * 2
    near = np.tri(int(n), dtype=bool) & ~np.tri(int(n), k=-int(window), dtype=bool)
    reach = np.linalg.matrix_power(near.astype(float), layers) > 0
    lengths = [prompt + step for step in range(1, int(steps) + 1)]
    return {"pairs": np.tri(int(n)).sum(), "windowed": near.sum(), "reach": reach[-1].sum(),
            "cached": sum(lengths), "uncached": sum(length ** 2 for length in lengths)}


def clock_hands(text):
    degrees, = numbers(r"by (\d+) degrees", text)
    (q, _), (_, k) = (numbers(rf"{name} = \((\d+), (\d+)\)", text) for name in "qk")
    far = numbers(r"place (\d+) and the key at (\d+)", text)
    assert far[0] - far[1] == 2

    def hand(z, place):
        return z * np.exp(1j * np.deg2rad(degrees) * place)

    query, key, late = hand(q, 3), hand(1j * k, 1), hand(1j * k, 5)
    near = (query.conjugate() * key).real
    return {"q": [query.real, query.imag], "k": [key.real, key.imag], "near": near, "far": near,
            "after": (query.conjugate() * late).real}


def linear_bias(text):
    (base, last), (other, twice), (same, end) = (map(float, found) for found in re.findall(
        r"\$([\d.]+)\^\{-(\d+)(?:/heads)?\}\$", text))
    assert base == other == same and 2 * last == twice and last == end
    return lambda heads, n_q, n_k: [
        [[-base ** (-last * (h + 1) / heads) * abs(i + n_k - n_q - j) for j in range(n_k)]
         for i in range(n_q)] for h in range(heads)]


def turn_pairs(text):
    base, = numbers(r"cdot (\d+)\^\{-2i/d\}", text)

    def turned(x, positions):
        angle = np.outer(positions, base ** (-np.arange(0, x.shape[-1], 2) / x.shape[-1]))
        pairs = (x[..., ::2] + 1j * x[..., 1::2]) * np.exp(1j * angle)
        return np.stack([pairs.real, pairs.imag], axis=-1).reshape(x.shape)

    return turned


SOLVERS = {"1.1": attention_on_paper, "2.1": size_of_a_score, "2.6": sharpest,
           "3.1": shares_on_paper, "4.1": mask_on_paper, "4.6": how_many, "5.1": clock_hands,
           "5.2": linear_bias, "5.3": turn_pairs}


@pytest.mark.parametrize("id", SOLVERS)
def test_the_statement_asks_what_is_checked(id):
    for text in [handout.Texts(Task(id, 1, 1.0, ""), None), *texts(get(id))]:
        solved = SOLVERS[id](text.statement())
        answer = solved if callable(solved) else lambda solved=solved: solved
        result = answers.judged(text.exercise, answer, 2)
        assert result, f"{text.statement()}\n{result.sentence}\n{result.witness}"


def test_words_are_replaced_at_once_and_the_longest_first():
    words = {"3": "4", "4": "3", "34": "x"}
    assert core.reworded("3 4 34 5", words) == "4 3 x 5"
    assert core.reworded("3", {}) == "3"


def test_a_check_and_a_hint_know_the_variant(capsys):
    from attnlib.exercises import check, hint

    draw = draws(get("1.1"))[0]
    other = get(f"1.1/{draw}")
    assert check(other.id, lambda: other.reference())
    assert not check("1.1", lambda: other.reference())
    hint(other.id)
    assert f'hint("{other.id}")' in capsys.readouterr().out

"""Figures to play with: their arithmetic is attnlib's, for everybody's hand, on every ground."""

import functools
import gzip
import http.server
import re
import threading
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pytest

import attnlib
from attnlib import play, plots
from attnlib.play import figures, showing

FOLDER = Path(play.__file__).parent
NAMES = ("chunks", "compare", "heads", "lookup", "masks", "reach", "rotary", "scaling",
         "selection", "temperature", "tiles")
SHARED = ("play", "look", "maths")
WORDS = ["the", "cat", "sat", "she", "purred", "then", "left"]
CLOSE = dict(rtol=0, atol=1e-12)


def rng_of(seed):
    return np.random.default_rng([seed, 24])


def examples():
    """One figure of each kind."""
    rng = rng_of(0)
    past = attnlib.causal_mask(7)
    leak = past.copy()
    leak[1, 5] = True
    return [
        play.chunks(rng.normal(size=12), rng.uniform(-1, 1, 12)),
        play.compare(lambda scores: np.exp(scores) / np.exp(scores).sum()),
        play.heads(),
        play.lookup(rng.normal(size=(7, 2)), rng.normal(size=(7, 2)), WORDS, [1.0, 0.5],
                    axes=("name", "action"), value_axes=("being", "doing")),
        play.masks({"causal": past, "a leak": leak}, WORDS, start="a leak"),
        play.reach(), play.rotary(np.tile([1.0, 0.0], 4), np.tile([1.0, 0.0], 4)),
        play.scaling(), play.selection(rng.normal(size=24)),
        play.temperature(rng.normal(size=7), WORDS), play.tiles()]


# The files and what Python makes of them.


def test_every_file_belongs_to_a_figure_and_is_small():
    scripts = {path.stem: path.stat().st_size for path in FOLDER.glob("*.js")}
    assert scripts.keys() == {*NAMES, *SHARED}
    assert {figure.name for figure in examples()} == set(NAMES) == set(play.__all__) - {"Play"}
    assert sum(scripts.pop(shared) for shared in SHARED) <= 16_384
    assert all(size <= 10_240 for size in scripts.values()), scripts


def test_any_two_figures_of_a_page_take_12_kilobytes_beyond_it():
    from press.chapters import Chapter, chapter_paths

    def size(script):
        return len(gzip.compress(script.encode(), 9))

    pages = [{re.search(r"play\.(\w+)", cell.source)[1] for _, cell in Chapter(path).tagged("play")}
             for path in chapter_paths()]
    assert set().union(*pages) == set(NAMES) - {"compare"}
    for page in pages:
        heaviest = sorted((size(showing.own(name)) for name in page), reverse=True)[:2]
        assert sum(heaviest) + size(showing.shared()) <= 12_288, page


def test_comments_are_not_sent_and_nothing_else_is_lost():
    for name in (*NAMES, *SHARED):
        text = (FOLDER / f"{name}.js").read_text(encoding="utf-8")
        sent = showing.sent(f"{name}.js")
        assert "/**" not in sent and not re.search(r"^ *//", sent, re.MULTILINE)
        code = [line for line in text.splitlines()
                if not re.match(r" *(//|/?\*)", line) or line in sent.splitlines()]
        assert sent.splitlines() == code, name


def test_colours_are_the_palette_of_the_book_and_its_counterparts_on_dark_ground():
    from press.site.svg import turned

    look = (FOLDER / "look.js").read_text(encoding="utf-8")
    light, dark = (dict(re.findall(r"--(blue|orange|green|purple|yellow): (#\w+);", part))
                   for part in look.split(".card.dark"))
    assert light == {name: plots.PALETTE[name].lower() for name in light} and len(light) == 5
    assert dark == {name: turned(colour) for name, colour in light.items()}
    for name in NAMES:  # only masks of CSS are cut with black
        assert set(re.findall(r"#[0-9a-f]{3,8}\b", showing.sent(f"{name}.js"))) <= {"#000", "#0000"}


def test_the_scripts_are_packaged():
    files = distribution("attnlib").files or ()
    packaged = {file.name for file in files if "play" in str(file)}
    checkout = Path(attnlib.__file__).parents[1]
    assert packaged >= {"play.js"} or (checkout / "pyproject.toml").exists()
    settings = (FOLDER.parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    assert '"attnlib.play"' in settings and re.search(r'"attnlib.play" = \["\*\.js"\]', settings)


@pytest.mark.parametrize("figure", examples(), ids=lambda figure: figure.name)
def test_one_script_has_no_name_twice(figure):
    code = showing.script(figure.name)
    assert not re.search(r"^\s*(import|export)\b", code, re.MULTILINE)
    names = re.findall(r"^(?:async )?(?:function|const|let) (?:\[)?(\w+)", code, re.MULTILINE)
    assert len(names) == len(set(names))


@pytest.mark.parametrize("figure", examples(), ids=lambda figure: figure.name)
def test_what_is_stored_repeats_and_is_whole(figure):
    again = {one.name: one for one in examples()}[figure.name]
    assert figure.element() == again.element()
    assert "NaN" not in figure.element() or figure.name == "compare"
    assert len(figure.element().encode()) <= 20_480
    assert figure._repr_html_().startswith(figure.element()) and figure.data["cases"]


def test_names_with_markup_are_words():
    element = play.temperature([1.0, 2.0], ["<b>'&", '"</script>'], title="<i>'").element()
    assert "<b>" not in element and "</script>" not in element and "<i>" not in element
    assert element.count("'") == 6  # the three attributes' own quotes


@pytest.mark.parametrize("call, message", [
    (lambda: play.temperature([1, np.nan], "ab"), "scores must be finite numbers, got nan"),
    (lambda: play.temperature([1, np.inf], "ab"), "scores must be finite numbers, got inf"),
    (lambda: play.temperature([1.0], "ab"), "scores must have the shape (2,), got (1,)"),
    (lambda: play.temperature([], []), "from 1 to 24 words fit into the figure, got 0"),
    (lambda: play.temperature(range(200), range(200)),
     "from 1 to 24 words fit into the figure, got 200"),
    (lambda: play.lookup(np.eye(2), np.eye(3), "ab", [1, 0], axes="xy", value_axes="uv"),
     "values must have the shape (2, 2), got (3, 3)"),
    (lambda: play.masks({"m": np.eye(2, dtype=bool)}, "abc"),
     "the mask 'm' must be (3, 3) for 3 names, got (2, 2)"),
    (lambda: play.masks({"m": np.eye(3, dtype=bool)}, "abc", start="n"),
     "start must be one of m, got 'n'"),
    (lambda: play.rotary(np.ones(3), np.ones(3)),
     "query must have an even number of features from 4 to 16, got 3"),
    (lambda: play.rotary(np.ones(4), np.ones(4), base=1),
     "base must lie between 10 and 1e6, got 1"),
    (lambda: play.heads(7), "n is at most 6, d one of 4, 8, 12 and heads one of 1, 2, 4, got n 7, "
                            "d 8, heads 2"),
    (lambda: play.reach(7), "n must lie between 8 and 48, got 7"),
    (lambda: play.chunks([1.0], [1.0], cuts=(1, 0)), "cuts must ascend from 0 to 1, got (1, 0)"),
    (lambda: play.chunks([], []), "from 1 to 24 scores fit into the figure, got 0"),
    (lambda: play.chunks([np.nan], [1.0], cuts=(0, 1)), "scores must be finite numbers, got nan"),
    (lambda: play.selection(range(200)), "from 1 to 24 scores fit into the figure, got 200"),
    (lambda: play.selection([np.nan, 1]), "scores must be finite numbers, got nan"),
    (lambda: play.selection([1.0], chunk=0), "chunk must be at least 1, got 0"),
    (lambda: play.tiles(33), "n must lie between 2 and 32, got 33"),
    (lambda: play.tiles(rows=0), "rows must be at least 1, got 0"),
    (lambda: play.lookup([[np.nan, 0]], [[0, 0]], "a", [1, 0], axes="xy", value_axes="uv"),
     "keys must be finite numbers, got nan"),
    (lambda: play.masks({}, "ab"), "presets must have at least one mask, got none"),
    (lambda: play.masks({}, range(200)), "from 1 to 24 words fit into the figure, got 200"),
    (lambda: showing.plain([float("nan")]), "a figure to play with cannot show NaN: look for it "
                                            "in what it is given"),
])
def test_bad_input_says_what_is_wrong(call, message, raises):
    with raises(ValueError, message):
        call()


def test_what_is_no_whole_number_or_function_is_refused(raises):
    with raises(TypeError, "function must be a function of three scores, got 3"):
        play.compare(3)
    with raises(TypeError, "the mask 'm' must be boolean (True = may attend), got float64"):
        play.masks({"m": np.eye(3)}, "abc")
    with pytest.raises(TypeError, match="width"):
        play.scaling((2.5,))


def test_a_reader_s_function_may_do_anything():
    def raising(scores):
        raise RuntimeError("no")

    assert set(play.compare(raising).data["yours"]) == {"RuntimeError: no"}
    assert set(play.compare(lambda scores: scores[:2]).data["yours"]) == {
        "shape (2,) instead of (3,)"}
    spoilt = play.compare(lambda scores: scores.fill(0) or scores + np.nan).data
    assert spoilt["yours"][0] == ["NaN"] * 3 and spoilt["cases"][0]["input"]["scores"][0] == -4
    assert set(play.compare(lambda scores: None).data["yours"]) == {"None: it returns nothing yet"}

    def with_axis(scores, axis):
        return attnlib.softmax(scores, axis)

    right = play.compare(with_axis).data["yours"]
    assert right == play.compare(attnlib.softmax).data["yours"] and len(right[0]) == 3


def test_tiles_are_counted_while_attention_is_computed():
    rng = rng_of(8)
    for _ in range(60):
        n, d, rows, columns = (int(x) for x in rng.integers(1, 13, 4))
        for stay in ("queries", "keys"):
            counted, apart = figures._travelling(n + 1, d, rows, columns, stay)
            assert apart <= 1e-12
            assert counted["loads"][-1] >= 3 * (n + 1) * d  # each number at least once
            assert counted["stores"][-1] >= (n + 1) * (d + 1)


# In a browser.


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The address of a page with every figure as the site has them, and of one as a notebook."""
    folder = tmp_path_factory.mktemp("play")
    (folder / "play").symlink_to(FOLDER)
    head = ("<!doctype html><html lang=en><meta charset=utf-8><title>play</title>"
            "<meta name=viewport content='width=device-width'><style>body{margin:1rem;color:#222;"
            "background:#fff}@media (prefers-color-scheme:dark){body{color:#ced6dd;"
            "background:#14181e}}</style><main><h1>Figures</h1>")
    scripts = "".join(f"<script>{script}</script>"
                      for script in [showing.shared(), *map(showing.own, NAMES)])
    elements = "".join(figure.element() for figure in examples())
    outputs = "".join(f"<div>{figure._repr_html_()}</div>" for figure in examples() * 2)
    (folder / "site.html").write_text(f"{head}{elements}</main>{scripts}", encoding="utf-8")
    (folder / "notebook.html").write_text(f"{head}{outputs}</main>", encoding="utf-8")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def page(chromium, site):
    page, faults = chromium.new_page(), []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(f"{site}/site.html")
    page.wait_for_function("[...document.querySelectorAll('[data-play]')].every((e) => e.play)")
    yield page
    page.close()
    assert not faults


@pytest.fixture(scope="module")
def opened(chromium, site):
    """opened(file, **context) -> a page whose figures are alive, for a reader of that kind."""
    contexts = []

    def open_(file="site.html", alive=True, **options):
        viewport = dict(width=390, height=900)
        contexts.append(chromium.new_context(**dict(viewport=viewport) | options))
        page = contexts[-1].new_page()
        page.goto(f"{site}/{file}")
        if alive:
            page.wait_for_function(
                "[...document.querySelectorAll('[data-play]')].every((e) => e.play)")
        return page
    yield open_
    for context in contexts:
        context.close()


def computed(page, name, inputs):
    """What the figure's own arithmetic makes of inputs."""
    return page.evaluate("""([name, inputs]) => {
        const { compute } = document.querySelector(`[data-play=${name}]`).play;
        return inputs.map(compute); }""", [name, showing.plain(inputs)])


@pytest.mark.parametrize("name", NAMES)
def test_each_showing_is_equal_to_its_cases(page, name):
    checked = page.eval_on_selector(f"[data-play={name}]", "(e) => e.play.checked")
    assert checked["equal"] and checked["numbers"] >= 50 and checked["largest"] <= 5.1e-10
    assert "as attnlib computes them" in page.locator(f"[data-play={name}] small").inner_text()


@pytest.mark.parametrize("name", NAMES)
def test_one_number_of_one_case_that_is_off_by_little_is_refused(page, name):
    seen = page.evaluate("""async (name) => {
        const { compare } = await import("/play/maths.js");
        const { compute, data } = document.querySelector(`[data-play=${name}]`).play;
        const last = JSON.stringify(data.cases.at(-1).input);
        const nudge = (x) => {  // the last number in it
            for (const key of Object.keys(x).reverse()) {
                if (typeof x[key] === "number") { x[key] += 1e-4; return true; }
                if (x[key] && typeof x[key] === "object" && nudge(x[key])) return true;
            }
        };
        const off = (input) => {
            const ours = structuredClone(compute(input)), theirs = data.cases.at(-1).expect;
            const shown = Object.fromEntries(Object.keys(theirs).map((key) => [key, ours[key]]));
            if (JSON.stringify(input) === last && !nudge(shown)) throw Error("no number");
            return shown;
        };
        return [compare(compute, data.cases), compare(off, data.cases)]; }""", name)
    assert seen[0]["equal"] and not seen[1]["equal"]
    assert seen[1]["largest"] == pytest.approx(1e-4, rel=1e-3)


@pytest.mark.parametrize("name, key", [
    ("lookup", "scale"), ("temperature", "temperature"), ("scaling", "scale"), ("rotary", "m")])
def test_an_input_that_is_off_by_little_is_seen(page, name, key):
    seen = page.evaluate("""async ([name, key]) => {
        const { compare } = await import("/play/maths.js");
        const { play } = document.querySelector(`[data-play=${name}]`);
        return compare((input) => play.compute({ ...input, [key]: 1.0001 * input[key] + 1e-4 }),
                       play.data.cases); }""", [name, key])
    assert not seen["equal"]


def test_a_wrong_reference_shows_the_cross(chromium, site):
    page = chromium.new_page()
    page.route("**/site.html", lambda route: route.fulfill(
        body=route.fetch().text().replace('"effective":', '"effective":1', 1),
        content_type="text/html"))
    page.goto(f"{site}/site.html")
    page.wait_for_function("[...document.querySelectorAll('[data-play]')].every((e) => e.play)")
    proofs = page.locator("[data-play] small").all_inner_texts()
    page.close()
    assert sum(proof.startswith("✗ off attnlib by") for proof in proofs) == 1


def test_lookup_on_fresh_inputs(page):
    rng = rng_of(1)
    inputs = [dict(keys=rng.normal(size=(6, 2)).round(6), values=rng.normal(size=(6, 2)).round(6),
                   query=rng.normal(0, 9, 2).round(6), scale=0.5, hidden=rng.random(6) < part)
              for part in np.linspace(0, 1, 60)]
    one, none = np.array([[1.0, 2.0]]), np.zeros(1, bool)
    tie, far = np.ones((3, 2)), np.array([[300.0, 0], [-300, 0]])
    inputs += [dict(keys=one, values=one, query=np.ones(2), scale=0.5, hidden=none),
               dict(keys=one, values=one, query=np.ones(2), scale=0.5, hidden=~none),
               dict(keys=tie, values=tie * [[1], [2], [3]], query=np.ones(2), scale=0.5,
                    hidden=np.zeros(3, bool)),
               dict(keys=far, values=far, query=np.array([9.0, 0]), scale=0.5,
                    hidden=np.zeros(2, bool))]  # a share of exp(-2700): 0
    for x, got in zip(inputs, computed(page, "lookup", inputs), strict=True):
        weights = attnlib.attention_weights(x["query"][None], x["keys"], scale=0.5,
                                            mask=~x["hidden"][None])
        np.testing.assert_allclose(got["weights"], weights[0], **CLOSE)
        np.testing.assert_allclose(got["output"], (weights @ x["values"])[0], **CLOSE)
        np.testing.assert_allclose(got["effective"], attnlib.effective_keys(weights)[0], **CLOSE)


def test_temperature_on_fresh_inputs(page):
    rng = rng_of(2)
    inputs = [dict(scores=np.where(rng.random(7) < 0.2, -np.inf, rng.normal(0, 3, 7).round(6)),
                   temperature=float(2.0 ** rng.integers(-5, 6)),
                   shift=float(rng.integers(-300, 301)), scale=float(2.0 ** rng.integers(-3, 4)))
              for _ in range(60)]
    inputs += [dict(scores=np.array(scores, float), temperature=t, shift=shift, scale=1.0)
               for scores, t, shift in [
                   ([2, 1, -3], 0.05, 0.0), ([2, 1, -3], 1.0, 300.0), ([1, 1, 1], 0.05, 300.0),
                   ([5], 1.0, 0.0), ([-np.inf] * 3, 0.05, 300.0), ([0, -800, -np.inf], 1.0, 0.0)]]
    for x, got in zip(inputs, computed(page, "temperature", inputs), strict=True):
        weights = attnlib.softmax((x["scores"] * x["scale"] + x["shift"]) / x["temperature"])
        np.testing.assert_allclose(got["weights"], weights, **CLOSE)
        np.testing.assert_allclose(got["entropy"], attnlib.entropy(weights[None])[0], **CLOSE)


def test_scaling_on_fresh_inputs(page):
    import torch

    rng = rng_of(3)
    inputs = []
    for case in range(60):
        keys = rng.normal(size=(2 + case % 7, 1 + case)).round(3)
        dots = (rng.normal(size=(2, 1 + case)) @ keys.T).round(3)
        inputs.append(dict(dots=dots, gram=keys @ keys.T, scale=float(2.0 ** -rng.integers(0, 6))))
    for x, got in zip(inputs, computed(page, "scaling", inputs), strict=True):
        x = {name: torch.tensor(value, dtype=torch.float64) for name, value in x.items()}
        for row, (by_scores, by_query) in enumerate(zip(got["by_scores"], got["by_query"],
                                                        strict=True)):
            scores = x["dots"][row] * x["scale"]
            jacobian = torch.autograd.functional.jacobian(attnlib.softmax, scores)
            steps = jacobian @ x["gram"] @ jacobian.T
            np.testing.assert_allclose(by_scores, jacobian.norm(), **CLOSE)
            np.testing.assert_allclose(by_query ** 2, x["scale"] ** 2 * torch.trace(steps),
                                       rtol=1e-9, atol=1e-12)


def test_masks_on_fresh_inputs(page):
    rng = rng_of(4)
    stacks = [[rng.random((9, 9)) < part for _ in range(1 + i % 3)]
              for i, part in enumerate(np.linspace(0, 1, 60))]
    inputs = [dict(layers=[showing.rows(mask) for mask in stack]) for stack in stacks]
    for stack, got in zip(stacks, computed(page, "masks", inputs), strict=True):
        assert got["reach"] == showing.rows(attnlib.reachable(stack))
        assert got["pairs"] == [int(mask.sum()) for mask in stack]


def test_rotary_on_fresh_inputs(page):
    rng = rng_of(5)
    inputs = [dict(query=rng.normal(size=8).round(6), key=rng.normal(size=8).round(6),
                   m=int(rng.integers(0, 129)), n=int(rng.integers(0, 129)),
                   base=round(rng.uniform(10, 1e4), 3)) for _ in range(60)]
    for x, got in zip(inputs, computed(page, "rotary", inputs), strict=True):
        turned = attnlib.rotate(np.stack((x["query"], x["key"]))[:, None],
                                np.array([[x["m"]], [x["n"]]]), x["base"])[:, 0]
        np.testing.assert_allclose(got["query"], turned[0], **CLOSE)
        np.testing.assert_allclose(got["score"], turned[0] @ turned[1], **CLOSE)


def test_heads_on_every_input(page):
    inputs = [dict(n=n, d=d, heads=heads, path=path) for n in range(1, 7) for d in (4, 8, 12)
              for heads in (1, 2, 4)
              for path in ("right", "split by reshape", "merge by reshape")]
    for x, got in zip(inputs, computed(page, "heads", inputs), strict=True):
        flat = np.arange(x["n"] * x["d"]).reshape(x["n"], x["d"])
        right = attnlib.split_heads(flat, x["heads"])
        split = flat.reshape(right.shape) if x["path"] == "split by reshape" else right
        merged = attnlib.merge_heads(split) if x["path"] == "right" else split.reshape(flat.shape)
        assert got == dict(split=split.tolist(), merged=merged.tolist())


def may_attend(i, j, *, causal, window, gap, globals, **_):
    """Said in words: the last keys, a gap apart; global words see all and all see them."""
    if causal and j > i:
        return False
    hub = j < globals or (not causal and i < globals)
    return hub or abs(i - j) in range(0, window * gap, gap)


def test_reach_and_its_count_for_long_texts_on_fresh_inputs(page):
    rng = rng_of(9)
    inputs = [dict(n=int(rng.integers(8, 25)), depth=int(rng.integers(1, 6)), grow=i % 5 == 0,
                   causal=i % 2 == 0, window=int(rng.integers(1, 8)), gap=int(rng.integers(1, 7)),
                   globals=int(rng.integers(0, 4))) for i in range(60)]
    for x, got in zip(inputs, computed(page, "reach", inputs), strict=True):
        gaps = [2 ** layer if x["grow"] else x["gap"] for layer in range(x["depth"])]
        masks = [np.array([[may_attend(i, j, **x | dict(gap=gap)) for j in range(x["n"])]
                           for i in range(x["n"])]) for gap in gaps]
        assert got["reach"] == showing.rows(attnlib.reachable(masks)), x
        assert got["pairs"] == [int(mask.sum()) for mask in masks]
        assert got["counted"] == sum(got["pairs"])


def test_selection_on_fresh_inputs(page):
    import torch

    rng = rng_of(7)
    inputs = [dict(scores=rng.normal(0, 3, 1 + i % 24).round(6), chunk=int(rng.integers(1, 9)),
                   top=int(rng.integers(1, 5)), window=int(rng.integers(1, 13)))
              for i in range(60)]
    inputs += [dict(scores=np.array(scores, float), chunk=2, top=1, window=1) for scores in (
        [1], [0, 0, 0, 0, 1], [300, 301, 302, 303, 304], [-800, 0, 800, 0, 0])]
    for x, got in zip(inputs, computed(page, "selection", inputs), strict=True):
        key = torch.tensor(x["scores"])[:, None]
        one, value = torch.ones(1, 1, dtype=key.dtype), torch.eye(len(key), dtype=key.dtype)
        np.testing.assert_allclose(got["full"], attnlib.softmax(x["scores"]), **CLOSE)
        np.testing.assert_allclose(got["means"], attnlib.hierarchical_attention(
            one, key, value, chunk=x["chunk"], causal=True)[0], **CLOSE)
        np.testing.assert_allclose(got["chosen"], attnlib.selected_attention(
            one, key, value, chunk=x["chunk"], top=x["top"], window=x["window"])[0], **CLOSE)


def test_tiles_on_fresh_inputs(page):
    rng = rng_of(10)
    inputs = [dict(n=int(rng.integers(2, 33)), d=int(rng.integers(1, 9)),
                   rows=int(rng.integers(1, 33)), columns=int(rng.integers(1, 33)),
                   stay=("queries", "keys")[i % 2]) for i in range(60)]
    for x, got in zip(inputs, computed(page, "tiles", inputs), strict=True):
        assert got == figures._travelling(**x)[0], x


def test_compare_on_fresh_inputs(page):
    rng = rng_of(11)
    inputs = [dict(scores=rng.normal(0, 9, 3).round(6) + float(rng.choice([0, 300, 1000])))
              for _ in range(60)]
    for x, got in zip(inputs, computed(page, "compare", inputs), strict=True):
        np.testing.assert_allclose(got["weights"], attnlib.softmax(x["scores"]), **CLOSE)


def test_chunks_on_fresh_inputs(page):
    rng = rng_of(6)
    inputs = [dict(scores=np.where(rng.random(9) < 0.2, -np.inf, rng.normal(0, 3, 9).round(6))
                   + float(rng.choice([0, 300, -300])), values=rng.uniform(-1, 1, 9).round(6),
                   cuts=sorted(rng.integers(0, 10, 2).tolist())) for _ in range(60)]
    by_hand = [([5], [0, 1]), ([300, 300, 300], [1, 2]), ([-np.inf] * 3, [0, 3]),
               ([0, -800, 800], [1, 2])]
    inputs += [dict(scores=np.array(scores, float), values=np.arange(1.0, len(scores) + 1),
                    cuts=cuts) for scores, cuts in by_hand]
    for x, got in zip(inputs, computed(page, "chunks", inputs), strict=True):
        output, lse = attnlib.partial_attention(
            np.ones((1, 1)), x["scores"][:, None], x["values"][:, None], scale=1.0,
            mask=x["scores"] > -np.inf)
        np.testing.assert_allclose(got["output"], output[0, 0], **CLOSE)
        if np.isfinite(lse[0]):
            np.testing.assert_allclose(got["lse"], lse[0], rtol=1e-12)
        else:
            assert got["lse"] is None


def test_the_notebook_s_own_code_runs_with_two_of_each(chromium, site):
    page, faults = chromium.new_page(), []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(f"{site}/notebook.html")
    alive = page.evaluate("""[...document.querySelectorAll("[data-play]")]
        .map((e) => Boolean(e.play?.checked.equal && e.shadowRoot.querySelector("svg, input")))""")
    page.close()
    assert alive == [True] * 2 * len(NAMES) and not faults


def test_in_a_sandboxed_frame_as_colab_shows_outputs(opened):
    page = opened(alive=False)
    page.evaluate("""(html) => {
        const frame = document.createElement("iframe");
        Object.assign(frame, { srcdoc: html, width: 380, height: 800 });
        frame.setAttribute("sandbox", "allow-scripts");
        document.body.replaceChildren(frame); }""", examples()[0]._repr_html_())
    small = page.frame_locator("iframe").locator("[data-play] small")
    small.wait_for()
    assert "as attnlib computes them" in small.inner_text()


def test_where_scripts_run_away_from_their_output_as_in_vs_code(opened):
    page = opened(alive=False)
    assert page.evaluate("""(html) => {
        document.body.innerHTML = html;
        const script = document.createElement("script");
        script.textContent = document.querySelector("script").textContent;
        const far = document.body.appendChild(document.createElement("div"));
        far.append(script);
        script.remove();
        return document.querySelector("[data-play]").play.checked.equal; }""",
                         examples()[0]._repr_html_())


@pytest.mark.parametrize("width, scheme", [(390, "dark"), (1400, "light"), *(
    pytest.param(width, scheme, marks=pytest.mark.whole) for width, scheme in [
        (320, "light"), (320, "dark"), (390, "light"), (1400, "dark")])])
def test_no_figure_is_wider_than_its_page_or_fails_axe(chromium, site, width, scheme):
    from axe_core_python.sync_playwright import Axe

    page = chromium.new_page(viewport=dict(width=width, height=900), color_scheme=scheme)
    page.goto(f"{site}/site.html")
    page.wait_for_function("[...document.querySelectorAll('[data-play]')].every((e) => e.play)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(page)["violations"]
    dark = page.locator("[data-play=reach] .card.dark").count()
    page.close()
    assert not [(one["id"], one["nodes"][0]["html"][:200]) for one in found]
    assert dark == (scheme == "dark")


FINGER = dict(viewport=dict(width=390, height=900), has_touch=True, is_mobile=True)


def swipe(page, x, y, right, down, steps=30):
    """A finger that is put down at a place and taken off further right and down."""
    touch = page.context.new_cdp_session(page)
    for step in range(steps + 1):
        place = dict(x=x + right * step / steps, y=y + down * step / steps)
        touch.send("Input.dispatchTouchEvent", dict(
            type="touchMove" if step else "touchStart", touchPoints=[place]))
    touch.send("Input.dispatchTouchEvent", dict(type="touchEnd", touchPoints=[]))
    page.wait_for_timeout(100)


def middle(page, css):
    box = page.locator(css).first.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


@pytest.mark.whole
@pytest.mark.parametrize("name, right, down", [
    ("temperature", 0, -29), ("chunks", 0, 25), ("selection", 0, -20), ("lookup", -40, 35),
    ("reach", -120, 0), ("tiles", 70, 70), ("rotary", 60, 0)])
def test_a_finger_drags_to_where_it_ends(opened, name, right, down):
    page, knob = opened(**FINGER), f"[data-play={name}] .handle .knob"
    page.locator(knob).first.scroll_into_view_if_needed()
    x, y = middle(page, knob)
    top = page.evaluate("scrollY")
    swipe(page, x, y, right, down)
    assert page.evaluate("scrollY") == top
    state = page.evaluate(f"document.querySelector('[data-play={name}]').play.ui.state")
    if name == "temperature":
        first = examples()[NAMES.index(name)].data["state"]["scores"][0]
        assert state["scores"][0] == pytest.approx(min(4, first - down * 8 / 116), abs=0.06)
    if name == "tiles":  # which is larger than a finger's way: from tile (1, 1) to (2, 2)
        assert state["step"] == 5
        return
    after = middle(page, knob)
    if name == "rotary":  # the dot stays on its curve
        assert after[0] == pytest.approx(x + right, abs=1.5) and state["m"] - state["n"] > 40
        return
    snap = dict(reach=6, lookup=1).get(name, 1.5)  # places, or a tenth of a score
    assert after == pytest.approx((x + right, y + down), abs=snap)


@pytest.mark.whole
@pytest.mark.parametrize("hand", ["finger", "mouse"])
def test_dividers_at_one_place_part_the_way_they_are_pulled(opened, hand):
    page = opened(**FINGER)
    knob = "[data-play=chunks] .divider:last-child .knob"  # the one that lies on top
    page.locator(knob).scroll_into_view_if_needed()
    cuts = "document.querySelector('[data-play=chunks]').play.ui.state.cuts"

    def pulled(place, keys):
        room = page.evaluate("""(place) => {
            const { play, shadowRoot } = document.querySelector("[data-play=chunks]");
            play.ui.state.cuts = [place, place];
            play.ui.draw();
            return (shadowRoot.querySelector("svg").clientWidth - 34) / 12; }""", place)
        x, y = middle(page, knob)
        if hand == "finger":
            swipe(page, x, y, keys * room, 0, steps=6)
        else:
            page.mouse.move(x + 5, y)  # not quite its middle
            page.mouse.down()
            page.mouse.move(x + 5 + keys * room, y, steps=6)
            page.mouse.up()
        return page.evaluate(cuts)

    assert [pulled(*pull) for pull in ((6, -2), (6, 2), (0, 3), (12, -3), (0, -1), (12, 1))] == [
        [4, 6], [6, 8], [0, 3], [9, 12], [0, 0], [12, 12]]


def test_a_finger_on_the_middle_of_a_knob_has_that_knob(opened):
    page = opened(**FINGER)
    knobs = page.evaluate("""() => [...document.querySelectorAll("[data-play]")].flatMap((figure) =>
        [...figure.shadowRoot.querySelectorAll(".handle")].map((knob) => {
            knob.scrollIntoView({ block: "center" });
            const box = knob.querySelector(".knob").getBoundingClientRect();
            const hit = figure.shadowRoot.elementFromPoint(box.x + box.width / 2,
                                                           box.y + box.height / 2);
            return [figure.dataset.play, knob.getAttribute("aria-label"),
                    hit.closest(".handle") === knob]; }))""")
    assert len(knobs) > 30 and [knob for knob in knobs if not knob[2]] == []


def test_the_query_stays_in_its_picture_however_it_is_turned(opened):
    page = opened()
    outside = page.evaluate("""() => {
        const root = document.querySelector("[data-play=lookup]").shadowRoot;
        const [direction, length] = root.querySelectorAll("input[type=range]");
        const set = (slider, value) => { slider.value = value;
            slider.dispatchEvent(new Event("input", { bubbles: true })); };
        const knob = root.querySelector(".handle .knob"), plane = knob.ownerSVGElement;
        return [-180, -135, -90, -45, 0, 45, 90, 135].filter((angle) => {
            set(length, length.max); set(direction, angle);
            const box = knob.getBoundingClientRect(), whole = plane.getBoundingClientRect();
            return box.top < whole.top || box.bottom > whole.bottom
                || box.left < whole.left || box.right > whole.right; });
    }""")
    assert outside == []


def test_a_finger_paints_sideways_and_scrolls_down(opened):
    page = opened(**FINGER)
    grid = page.locator("[data-play=masks] .hit")
    page.locator("[data-play=masks]").scroll_into_view_if_needed()
    boxes = [grid.nth(4 * 7 + j).bounding_box() for j in (2, 6)]  # the fifth word's row
    (x, y), (to, _) = ((box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
                       for box in boxes)
    masks = "document.querySelector('[data-play=masks]').play.ui.state.masks"
    before, top = page.evaluate(masks), page.evaluate("scrollY")
    swipe(page, x, y, 0, -200)
    assert page.evaluate("scrollY") > top and page.evaluate(masks) == before
    y -= page.evaluate("scrollY") - top
    swipe(page, x, y, to - x, 0)
    after = page.evaluate(masks)
    assert after[0][4] == before[0][4][:2] + [not before[0][4][2]] * 5


@pytest.mark.parametrize("name", ["temperature", "chunks"])
def test_a_finger_hides_a_key_and_shows_it_again(opened, name):
    from playwright.sync_api import expect

    page = opened(**FINGER)
    button = page.locator(f"[data-play={name}] [aria-label^='hide ']").nth(2)
    scores = f"document.querySelector('[data-play={name}]').play.ui.state.scores"
    first = page.evaluate(scores)
    for hidden in (True, False):
        button.tap()
        page.wait_for_function(f"({scores}[2] === null) === {str(hidden).lower()}")
        expect(button).to_have_attribute("aria-pressed", str(hidden).lower())  # drawn a frame later
    assert page.evaluate(scores) == first


OUTSIDE = """async (name) => {
    const { shadowRoot, play } = document.querySelector(`[data-play=${name}]`), found = new Set();
    const steady = shadowRoot.querySelector(name === "heads" ? ".says" : ".card"), tall = new Set();
    const drawn = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    const look = (how) => { tall.add(Math.round(steady.getBoundingClientRect().height));
        for (const svg of shadowRoot.querySelectorAll("svg")) {
        const whole = svg.getBoundingClientRect();
        const shapes = "circle, rect, path, line, polygon"  // of letters each machine has its own
            + (innerWidth > 320 ? ", text" : "");
        for (const shape of svg.querySelectorAll(shapes)) {
            const box = shape.getBoundingClientRect();
            if (box.width + box.height && !shape.closest(".hit") && (box.top < whole.top - 6
                || box.bottom > whole.bottom + 6 || box.left < whole.left - 6
                || box.right > whole.right + 6))
                found.add(`${how}: ${shape.tagName}.${shape.getAttribute("class")} `
                          + shape.textContent);
        } } };
    const radios = [...shadowRoot.querySelectorAll("input[type=radio]"), null];
    for (const radio of radios) {
        radio?.click();
        for (const slider of shadowRoot.querySelectorAll("input[type=range]"))
            for (const end of [slider.min, slider.max]) {
                slider.value = end;
                slider.dispatchEvent(new Event("input", { bubbles: true }));
                await drawn();
                look(`${radio?.parentElement.textContent} ${slider.ariaLabel} ${end}`);
            }
    }
    shadowRoot.querySelector("header button").click();
    if (tall.size > 1) found.add(`the height jumps: ${[...tall]}`);
    return [...found].slice(0, 5); }"""


@pytest.mark.whole
@pytest.mark.parametrize("width", [320, 390, 1400])
def test_nothing_is_drawn_outside_or_jumps_wherever_the_sliders_stand(opened, width):
    page = opened(viewport=dict(width=width, height=900))
    outside = {name: page.evaluate(OUTSIDE, name) for name in NAMES}
    assert {name: found for name, found in outside.items() if found} == {}


def test_controls_stay_where_they_are_when_layers_are_added(opened):
    page = opened()
    places = page.evaluate("""async () => {
        const { shadowRoot } = document.querySelector("[data-play=reach]");
        const [slider] = shadowRoot.querySelectorAll("input[type=range]"), places = [];
        for (let depth = 1; depth <= 8; depth += 1) {
            slider.value = depth;
            slider.dispatchEvent(new Event("input", { bubbles: true }));
            await new Promise(requestAnimationFrame);
            await new Promise(requestAnimationFrame);
            places.push(slider.getBoundingClientRect().top);
        }
        return places; }""")
    assert len(set(places)) == 1, places


def test_the_legend_of_the_masks_has_every_kind_of_cell(opened):
    page = opened()
    kinds = page.evaluate("""() => {
        const { shadowRoot, play } = document.querySelector("[data-play=masks]");
        play.ui.state.depth = 3;
        for (const mask of play.ui.state.masks) mask[6][0] = false;  // known through the others
        play.ui.draw();
        const kinds = (css) => [...new Set([...shadowRoot.querySelectorAll(css)].map((cell) =>
            cell.getAttribute("class")))].sort();
        const signs = (css) => [...new Set([...shadowRoot.querySelectorAll(css)].map((sign) =>
            sign.textContent.replace(/[1-3,]+/, "1")))].sort();
        play.ui.state.masks[1][2][3] = true;  // in one layer alone
        play.ui.draw();
        return [kinds("g > .cell:not(.none)"), kinds(".key .cell"),
                signs("g > .sign"), signs(".key .sign")]; }""")
    assert kinds[0] == kinds[1] and len(kinds[1]) == 4
    assert kinds[2] == kinds[3] == ["!", "1"]


def test_start_again_goes_back_to_the_first_cell_of_the_masks(opened):
    page = opened()
    state = "document.querySelector('[data-play=masks]').play.ui.state.here"
    first = page.evaluate(state)
    page.locator("[data-play=masks] .hit[tabindex='0']").focus()
    page.keyboard.press("ArrowDown")
    assert page.evaluate(state) == [first[0] + 1, first[1]]
    page.locator("[data-play=masks] header button").click()
    assert page.evaluate(state) == first
    assert page.locator("[data-play=masks] .says").inner_text().find(f"“{WORDS[first[0]]}”") > 0


@pytest.fixture
def played(page):
    """played(name) -> the figure's element, its state as it is, its sentence, and how to set."""
    class Played:
        def __init__(self, name):
            self.host = page.locator(f"[data-play={name}]")
            self.host.evaluate("(e) => e.play.ui.reset()")

        def get(self, what):
            return self.host.evaluate(f"(e) => e.play.{what}")

        def set(self, **state):
            self.host.evaluate("""(e, state) => { Object.assign(e.play.ui.state, state);
                e.play.ui.draw(); }""", state)

        def click(self, css):
            self.host.locator(css).first.click()
            page.evaluate("new Promise(requestAnimationFrame)")

        def says(self):
            return self.host.locator(".says").text_content()

        def texts(self, css):
            return self.host.locator(css).all_text_contents()
    return Played


def test_equal_log_sum_exps_may_be_forgotten(played):
    chunks = played("chunks")
    chunks.set(forget=True)
    shares = attnlib.softmax(np.array(chunks.get("data.cases[0].expect.lses")))
    assert chunks.texts(".wrong") == [f"should be {round(100 * share)} %" for share in shares]
    assert "what if you make them equal?" in chunks.says()
    chunks.click(".row > button:text-is('make the log-sum-exps equal')")
    assert chunks.texts(".wrong") == [] and chunks.texts(".facts .good") == ["equal"]
    assert "no harm to forget them" in chunks.says()
    chunks.set(scores=[-4, *[4] * 10, None], cuts=[1, 11], shift=300)  # as far apart as can be
    chunks.click(".row > button:text-is('make the log-sum-exps equal')")
    lses = chunks.get("compute(e.play.ui.state).lses")
    assert lses[0] == pytest.approx(lses[1], abs=1e-9) and lses[2] is None
    assert "One chunk saw nothing" in chunks.says()


def test_the_followed_number_of_the_heads_is_one_that_moves(played, page):
    heads = played("heads")
    n, d, split = 3, 8, attnlib.split_heads(np.arange(24).reshape(3, 8), 2).reshape(-1)
    here = int(np.argmax(split != np.arange(n * d)))
    assert heads.get("ui.state.here") == here and heads.get("ui.state.step") == 1
    moved = f"memory place {here + 1} → {int(np.argmax(split == here)) + 1}"
    assert heads.says().endswith(f"{moved}.")
    heads.set(step=2)
    assert heads.says().endswith(f"{moved} → {here + 1}.")
    heads.set(step=1, path="split by reshape")
    assert heads.says().endswith(f"memory place {here + 1} → {here + 1}.")
    frame = "(e) => getComputedStyle(e).outlineStyle"
    heads.click(".cell")
    assert heads.host.locator("svg").evaluate(frame) == "none"
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    assert heads.host.locator("svg").evaluate(frame) == "solid"


def test_tiles_are_chosen_by_arrows_and_by_a_tap_and_say_what_travels(played, page):
    tiles = played("tiles")
    knob = tiles.host.locator(".handle")
    for stay, order in ("queries", [4, 5, 1, 0]), ("keys", [1, 5, 4, 0]):
        tiles.set(stay=stay, step=0)
        knob.focus()
        steps = []
        for key in ("Down", "Right", "Up", "Left"):
            page.keyboard.press(f"Arrow{key}")
            steps.append(tiles.get("ui.state.step"))
        assert steps == order
    tiles.set(stay="queries")
    tiles.click(".tile:nth-of-type(12)")  # of the rectangles, four are memory
    assert tiles.get("ui.state.step") == 7
    for stay, rows, columns, too_few in (("queries", 1, 16, "too few queries in a tile"),
                                         ("queries", 16, 1, "times fewer"),
                                         ("keys", 16, 1, "too few keys in a tile"),
                                         ("keys", 1, 16, "times fewer")):
        tiles.set(stay=stay, rows=rows, columns=columns, step=0)
        assert too_few in tiles.says()


def test_a_near_tie_is_followed_over_all_widths(played):
    scaling = played("scaling")
    width = scaling.host.locator("input[type=range]").first
    for at in ("3", "6", "1"):
        width.fill(at)
        slopes = scaling.get("compute({ scale: 1, ...e.play.data.drawn[" + at + "] }).by_scores")
        assert slopes[scaling.get("ui.state.query")] == max(slopes)
    scaling.set(at=3, query=int(np.argmax(scaling.get(
        "compute({ scale: 1, ...e.play.data.drawn[3] }).by_scores"))))
    dots = np.sort(scaling.get("data.drawn[3].dots[e.play.ui.state.query]"))
    assert f"two best scores lie {dots[-1] - dots[-2]:.2f} apart" in scaling.says()


def test_scores_are_told_as_they_become(played):
    temperature = played("temperature")
    scores = [4, -4, 0.5, None, 0, 0, 1]
    temperature.set(scores=scores, scale=2, shift=3, temperature=0.5)
    given = [(score * 2 + 3) / 0.5 for score in scores if score is not None]
    assert [float(text.replace("−", "-")) for text in temperature.texts(".given")] == given
    facts = temperature.host.locator(".facts").text_content
    assert "the : left = exp(12.00) = 1.6 · 10⁵" in facts()
    temperature.set(scale=8, temperature=2 ** -5)  # exp(768) fits no float64
    assert "exp(768.00) = 3.5 · 10³³³" in facts()
    ring, title = (temperature.host.locator(css).bounding_box()
                   for css in (".gone .knob", ".title:text-is('shares')"))
    assert ring["y"] + ring["height"] < title["y"]


def test_a_beginning_holds_for_every_layer(played):
    masks = played("masks")
    assert "What if there is a layer more?" in masks.says()
    masks.set(depth=3, paint=1)
    assert "a layer more" not in masks.says()
    masks.click("button:text-is('causal')")
    assert masks.get("ui.state.masks") == [attnlib.causal_mask(7).tolist()] * 3
    assert "No future word reaches an output." in masks.says()


def test_reach_has_no_dead_slider_and_counts_one_word(played):
    reach = played("reach")
    gap = reach.host.locator("input[type=range]").nth(2)
    assert gap.is_enabled()
    reach.set(grow=True, output=0)
    assert gap.is_disabled() and "on the only word that it may know" in reach.says()


def test_selection_says_where_the_query_is_and_how_many_chunks_there_are(played):
    selection = played("selection")
    selection.set(top=4, chunk=12)
    assert selection.texts(".slider output")[1] == "4: all 1"
    at = [box["x"] + box["width"] / 2 for box in (selection.host.locator(css).bounding_box()
                                                   for css in (".asks", ".handle >> nth=-1"))]
    assert at[0] == pytest.approx(at[1], abs=1)
    assert selection.host.evaluate("""(e) => e.shadowRoot.querySelector(".means")
        === e.shadowRoot.querySelector(".means").parentNode.lastChild""")


def test_on_a_phone_query_and_weights_are_on_one_screen_and_names_apart(opened):
    page = opened(**FINGER)
    seen = page.evaluate("""() => {
        const { shadowRoot, play } = document.querySelector("[data-play=lookup]"), both = [];
        const box = (e) => e.getBoundingClientRect();
        for (let turn = 0; turn < 24; turn += 1) {
            const { query } = play.data.state, length = Math.hypot(...query) * (turn % 3) / 2;
            play.ui.state.query = [length * Math.cos(turn), length * Math.sin(turn)];
            play.ui.draw();
            for (const plane of shadowRoot.querySelectorAll("svg")) {
                const names = [...plane.querySelectorAll("text:not(.name)")].map(box);
                names.forEach((a, i) => names.slice(i + 1).forEach((b) => {
                    if (Math.min(a.right, b.right) - Math.max(a.left, b.left) > 3
                        && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 5)
                        both.push([turn, a.left, a.top, b.left, b.top]); }));
            } }
        return [box(shadowRoot.querySelector(".bars")).bottom
                - box(shadowRoot.querySelector("svg")).top, both]; }""")
    assert seen[0] < 500 and seen[1] == []


def test_compare_begins_where_the_two_differ(opened):
    page = opened()

    def shown(function):
        page.evaluate("""([html]) => { document.querySelector("main").innerHTML = html;
            return import(`/play/compare.js?fresh=${Math.random()}`); }""",
                      [play.compare(function).element()])
        says = page.locator("[data-play=compare] .says")
        says.wait_for()
        return says.text_content()

    def wrong_twice(scores):
        right = attnlib.softmax(scores)
        return right / 2 if tuple(scores) in ((102, 99, 100), (1003, 1000, 1000)) else right

    assert shown(wrong_twice).startswith("Here they differ. They differ at 2 of 243 places")
    where = "(({ a, b, shift }) => [a, b, shift])(" \
            "document.querySelector('[data-play=compare]').play.ui.state)"
    places = [page.evaluate(where)]
    for _ in range(2):
        page.get_by_role("button", name="next difference").click()
        places.append(page.evaluate(where))
    assert places == [[6, 3, 1], [7, 4, 2], [6, 3, 1]]
    assert shown(attnlib.softmax).startswith("Here the two are equal. They are equal at all")
    assert page.get_by_role("button", name="next difference").count() == 0
    for function, words in ((lambda scores: scores[:2], "returns shape (2,) instead of (3,)."),
                            (lambda scores: None, "returns nothing yet."),
                            (lambda scores: scores[5], "raises IndexError: ")):
        assert shown(function).startswith(f"Here yours {words}")


def test_keys_move_what_has_the_focus_and_go_no_further(chromium, site):
    page = chromium.new_page()
    page.goto(f"{site}/site.html")
    page.wait_for_function("[...document.querySelectorAll('[data-play]')].every((e) => e.play)")
    page.evaluate("window.heard = []; addEventListener('keydown', (e) => heard.push(e.key))")
    state = lambda name, part: page.evaluate(  # noqa: E731
        f"document.querySelector('[data-play={name}]').play.ui.state.{part}")
    knob = page.locator("[data-play=temperature] .handle").first
    knob.focus()
    before = state("temperature", "scores[0]")
    for key in ("ArrowUp", "ArrowUp", "a", "d"):
        page.keyboard.press(key)
    assert state("temperature", "scores[0]") == pytest.approx(before + 0.2, abs=0.051)
    page.keyboard.press("Delete")
    assert state("temperature", "scores[0]") is None
    page.keyboard.press("Tab")
    assert page.evaluate("heard") == ["Tab"]
    assert knob.get_attribute("role") == "slider"
    assert "hidden" in knob.get_attribute("aria-valuetext")
    page.wait_for_function("document.querySelector('[data-play=temperature]').shadowRoot"
                           ".querySelector('[role=status]').innerText")
    divider = page.locator("[data-play=chunks] .divider").first
    divider.focus()
    page.keyboard.press("Home")
    assert state("chunks", "cuts[0]") == 0
    page.keyboard.press("End")
    assert state("chunks", "cuts[0]") == state("chunks", "cuts[1]")
    page.locator("[data-play=chunks] header button").click()
    page.wait_for_function(
        "document.querySelector('[data-play=chunks]').play.ui.state.cuts[0] === 4")
    page.close()


@pytest.mark.whole
@pytest.mark.parametrize("name", NAMES)
def test_every_stop_of_the_keyboard_has_a_role_a_name_and_an_effect(opened, name):
    page = opened()
    stops = page.evaluate("""(name) => {
        const { shadowRoot } = document.querySelector(`[data-play=${name}]`);
        return [...shadowRoot.querySelectorAll("button, input, [tabindex='0']")].map((e) => [
            e.getAttribute("role") ?? { INPUT: e.type, BUTTON: "button" }[e.tagName],
            e.getAttribute("aria-label") ?? (e.closest("label") ?? e).textContent.trim(),
            e.getAttribute("aria-valuetext") ?? e.ariaValueText ?? ""]); }""", name)
    assert len(stops) >= 4 and all(role and label for role, label, _ in stops), stops
    assert all(value for role, _, value in stops if role in ("range", "slider")), stops
    tree = page.locator(f"[data-play={name}]").aria_snapshot()
    assert "region" in tree and ("slider" in tree or "radio" in tree)

    state = f"JSON.stringify(document.querySelector('[data-play={name}]').play.ui.state)"
    started = page.evaluate(state)
    count = page.evaluate(f"document.querySelector('[data-play={name}]').shadowRoot"
                          ".querySelectorAll('input[type=range], [role=slider]').length")
    for which in range(count):
        before = page.evaluate(state)
        page.evaluate("""([name, which]) => document.querySelector(`[data-play=${name}]`).shadowRoot
            .querySelectorAll("input[type=range], [role=slider]")[which].focus()""", [name, which])
        moved = set()
        for key in ("ArrowRight", "ArrowUp", "ArrowLeft", "ArrowDown", "Home", "End"):
            page.keyboard.press(key)
            moved.add(page.evaluate(state))
        assert moved != {before}, (name, which)
    page.wait_for_function("""(name) => {
        const { shadowRoot } = document.querySelector(`[data-play=${name}]`);
        const heard = shadowRoot.querySelector("[role=status]").textContent;
        return heard.length > 20 && heard === shadowRoot.querySelector(".says").textContent; }""",
                           arg=name)
    page.locator(f"[data-play={name}] header button").click()
    assert page.evaluate(state) == started


@pytest.mark.whole
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_in_forced_colours_what_is_pressed_shows_and_axe_finds_nothing(opened, scheme):
    from axe_core_python.sync_playwright import Axe

    page = opened(forced_colors="active", color_scheme=scheme)
    ground = """(e) => getComputedStyle(e).backgroundColor"""
    pressed = page.locator("[data-play] .choice input:checked + span")
    others = page.locator("[data-play] .choice input:not(:checked) + span")
    assert {one.evaluate(ground) for one in pressed.all()}.isdisjoint(
        {one.evaluate(ground) for one in others.all()})
    assert page.locator("[data-play=masks] button[aria-pressed=true]").evaluate(ground) != (
        page.locator("[data-play=masks] button[aria-pressed=false]").first.evaluate(ground))
    blue = {"light": "rgb(0, 114, 178)", "dark": "rgb(66, 180, 244)"}[scheme]
    assert page.locator("[data-play=tiles] .track i").first.evaluate(ground) == blue
    assert not [one["id"] for one in Axe().run(page)["violations"]]


def test_nothing_moves_by_itself(opened):
    for name in (*NAMES, *SHARED):
        assert not re.search(r"transition|animation|@keyframes|setInterval|\.animate\(",
                             showing.sent(f"{name}.js"))
    page = opened(reduced_motion="reduce")
    knob = page.locator("[data-play=temperature] .handle").first
    knob.focus()
    page.keyboard.press("ArrowUp")
    assert page.evaluate("document.getAnimations().length") == 0


def test_on_paper_are_the_pictures_in_light_colours_without_their_controls(opened):
    page = opened(color_scheme="dark")
    page.emulate_media(media="print")
    paint = page.locator("[data-play=temperature]").evaluate("""(host) => {
        const style = (css) => getComputedStyle(host.shadowRoot.querySelector(css));
        return [style(".share").fill, style("text").stroke, style(".card").printColorAdjust]; }""")
    assert paint == ["rgb(0, 114, 178)", "rgb(255, 255, 255)", "exact"]
    for name in NAMES:
        host = page.locator(f"[data-play={name}]")
        assert host.locator("svg").first.is_visible()
        for control in host.locator("fieldset, .slider, .tick, button:not(.bar)").all():
            assert not control.is_visible()
    assert page.pdf().startswith(b"%PDF")


def test_without_javascript_words_say_what_it_is(opened):
    page = opened(alive=False, java_script_enabled=False)
    words = page.locator("[data-play]").all_inner_texts()
    assert len(words) == len(NAMES) and all("to play with it" in text for text in words)


@pytest.mark.whole
def test_a_cell_run_a_hundred_times_leaves_nothing_behind(opened):
    page = opened(file="notebook.html")
    devtools = page.context.new_cdp_session(page)

    def run_again(times):
        """What a front end does with an output: clear, insert, run its script."""
        page.evaluate("""async ([html, times]) => {
            const output = document.querySelector("main");
            for (let i = 0; i < times; i += 1) {
                output.innerHTML = html;
                for (const old of output.querySelectorAll("script")) {
                    const script = document.createElement("script");
                    script.textContent = old.textContent;
                    old.replaceWith(script);
                }
                await new Promise(requestAnimationFrame);
            }
            document.documentElement.dataset.theme = "other" + times;
            await new Promise((done) => setTimeout(done, 800)); }""", [html, times])
        devtools.send("HeapProfiler.collectGarbage")
        page.evaluate("document.documentElement.dataset.theme = 'again'")
        devtools.send("HeapProfiler.collectGarbage")
        return devtools.send("Memory.getDOMCounters")

    html = play.temperature(rng_of(0).normal(size=7), WORDS)._repr_html_()
    few, many = run_again(5), run_again(100)
    assert page.locator("[data-play]").count() == 1
    assert page.locator("[data-play] .handle").count() == 7
    assert many["nodes"] <= 1.2 * few["nodes"] + 100, (few, many)
    assert many["jsEventListeners"] <= 1.2 * few["jsEventListeners"] + 20, (few, many)


@pytest.mark.whole
@pytest.mark.parametrize("figure", [
    play.temperature([1.0], ["<b>&'\""]), play.temperature([1.0] * 24, ["a long word"] * 24),
    play.lookup([[1, 0]], [[0, 1]], ["one"], [1, 0], axes="xy", value_axes="uv"),
    play.lookup([[0, 0]] * 2, [[0, 0]] * 2, "ab", [0, 0], axes="xy", value_axes="uv"),
    play.masks({"m": np.ones((1, 1), bool)}, ["one"]), play.chunks([1.0], [1.0], cuts=(0, 1)),
    play.masks({"m": attnlib.causal_mask(24)}, ["w"] * 24), play.heads(1, 4, heads=1),
    play.selection([1.0]), play.selection([1.0, 2.0], chunk=9), play.tiles(2, 1, rows=9),
    play.compare(lambda scores: scores * np.nan), play.compare(lambda scores: scores / 0),
    play.compare(lambda scores: scores[5]),
    play.scaling((1,), queries=1, keys=2), play.reach(8, window=20)],
    ids=lambda figure: figure.name)
@pytest.mark.parametrize("width", [320, 1400])
def test_the_smallest_and_the_largest_figure_are_sound(opened, site, figure, width):
    page = opened(viewport=dict(width=width, height=900))
    faults = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.evaluate("""([html, name]) => {
        document.querySelector("main").innerHTML = html;
        return import(`/play/${name}.js?fresh=${Math.random()}`); }""",
                  [figure.element(), figure.name])
    page.wait_for_function("document.querySelector('[data-play]').play")
    assert page.evaluate("document.querySelector('[data-play]').play.checked.equal")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    drawn = page.evaluate("""[...document.querySelector('[data-play]').shadowRoot
        .querySelectorAll('svg *')].flatMap((e) => [...e.attributes].map((a) => a.value))""")
    assert drawn and not [value for value in drawn if "NaN" in value or "undefined" in value]
    assert not faults


def test_figures_of_figures_have_documented_functions():
    assert {name for name in NAMES} == {
        name for name in dir(figures) if getattr(getattr(figures, name), "__module__", "")
        == figures.__name__ and name[0] != "_"}


def test_nbval_compares_the_numbers_and_not_the_code(tmp_path):
    import subprocess
    import sys

    import nbformat
    from nbclient import NotebookClient

    from press import runs

    cell = nbformat.v4.new_code_cell("from attnlib import play\nplay.heads(2, 4)")
    notebook = nbformat.v4.new_notebook(cells=[cell])
    NotebookClient(notebook, timeout=600).execute()
    runs.tidy(notebook, "06_multihead")
    (output,) = cell.outputs
    assert output.data["text/html"].endswith("<script>/* attn-play */</script>")
    path, root = tmp_path / "06_multihead.ipynb", FOLDER.parents[1]
    everywhere = (root / "conftest.py").read_text(encoding="utf-8")
    (tmp_path / "conftest.py").write_text(
        everywhere.replace("Path(__file__).parent", f"Path({str(root)!r})"), encoding="utf-8")

    def nbval():
        nbformat.write(notebook, path)
        return subprocess.run([sys.executable, "-m", "pytest", "--nbval", path, "-q", "-p",
                               "no:cacheprovider"], cwd=root,
                              capture_output=True, text=True)

    run = nbval()
    assert run.returncode == 0, run.stdout
    output.data["text/html"] = output.data["text/html"].replace('"here":0', '"here":1')
    assert nbval().returncode == 1


def test_a_chapter_passes_up_to_its_first_figure_as_a_reader_types_it():
    import os
    import subprocess
    import sys

    from press.chapters import Chapter, chapter_paths

    root, chapter = FOLDER.parents[1], Chapter(chapter_paths()[0])
    cells = [cell for cell in chapter.cells if cell.cell_type == "code"]
    first = next(i for i, cell in enumerate(cells) if "play" in cell.metadata.get("tags", []))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    run = subprocess.run(["pytest", "--nbval", *(
        f"book/{chapter.path.name}::Cell {i}" for i in range(first + 1))],
        text=True, capture_output=True, cwd=root, env=kept | {"PATH": os.pathsep.join(
            (str(Path(sys.executable).parent), kept["PATH"]))})
    assert run.returncode == 0 and f"{first + 1} passed" in run.stdout, run.stdout

"""The pages that are not running text: the opening, the claims, the reader's predictions."""

import html
import json

import numpy as np
from docutils import nodes

from ..claims_page import star
from .elements import ICONS, bets, curly, el, escape, fold, icon, label_of, numbers, raw
from .mathml import inline
from .shelf import shelf

# The opening page


def looks():
    """Who looks at whom in chapter 1's sentence: the words and the (8, 8) weights."""
    from attnlib import attention_weights, tasks

    from ..cover import W_KEY, W_QUERY
    words, x = tasks.sentence()
    return words, attention_weights(x @ W_QUERY, x @ W_KEY)


def live(words, weights, chosen="she"):
    """The sentence that answers: radio buttons, so that keys, taps and no script all work."""
    asks = "".join(
        f'<input type="radio" name="look" id="look{i}" class="vh" aria-describedby="says{i}"'
        f'{" checked" * (word == chosen)}><label for="look{i}" data-i="{i}">{word}</label>'
        for i, word in enumerate(words))
    rows = "".join(look(i, words, row) for i, row in enumerate(weights))
    return (f'<fieldset class="live" style="--n:{len(words)}"><legend>Choose a word to see where '
            f'it looks</legend><div class="words">{asks}</div>{rows}</fieldset>')


def look(i, words, row):
    """Where one word looks: arcs, bars, a sentence."""
    n = len(words)
    arcs = "".join(f'<path d="{arc(i, j)}" style="--w:{w:.2f}"/>'
                   for j, w in enumerate(row) if w >= .02)
    bars = "".join(f'<span style="--w:{w:.3f}"><b>{short(w)}</b></span>' for w in row)
    said = ", ".join(f"{words[j]} {row[j]:.2f}" for j in np.argsort(-row) if row[j] >= .005)
    return (f'<div class="look" data-i="{i}"><svg viewBox="0 0 {n * 100} 150" aria-hidden="true" '
            f'preserveAspectRatio="none">{arcs}</svg><div class="bars" aria-hidden="true">{bars}'
            f'</div><p id="says{i}"><b>{words[i]}</b> looks at {said}.</p></div>')


def arc(i, j):
    """The path from word i to word j, 100 units apart."""
    start, end, rise = (i + .5) * 100, (j + .5) * 100, 26 + 15 * abs(i - j)
    if i == j:
        return (f"M{start - 14:.0f} 150C{start - 34:.0f} 104 {start + 34:.0f} 104 "
                f"{start + 14:.0f} 150")
    top = 150 - rise * 1.3
    return f"M{start:.0f} 150C{start:.0f} {top:.0f} {end:.0f} {top:.0f} {end:.0f} 150"


def short(w):
    """A weight in two digits: .85."""
    return "" if w < .005 else "1" if w >= .995 else f"{w:.2f}".lstrip("0")


def landing(doctree, page):
    """The opening page, round the text of `book/intro.md`."""
    text, chapters = doctree[0], list(shelf().values())
    paragraphs = [node for node in text.children if isinstance(node, nodes.paragraph)]
    lead, promise = paragraphs[:2]
    about = [p for p in paragraphs[2:] if isinstance(p[0], nodes.strong)]
    tail = [s for s in text.children if isinstance(s, nodes.section)
            and s["ids"][0] != "the-chapters"]
    claims = [claim for here in chapters for claim in here.claims]
    first = page.to(f"book/{chapters[0].stem}")
    listed = page.to("book/claims")
    text[:] = [
        el("header", raw(f"<h1>Attention <i>by</i> Experiment</h1>{live(*looks())}"),
           el("div", el("p", *lead.children, class_="lead"),
              raw(f'<p class="go"><a class="do" href="{first}">Begin with chapter 1</a>'
                  "<span>No installation, no GPU, no account.</span></p>"), class_="start"),
           class_="hero"),
        raw(doors(page, chapters, first)),
        el("section", raw(f"<h2>{len(claims)} things that are said about attention</h2>"),
           promise, raw(strip(claims, listed)),
           raw(f'<p><a href="{listed}">Read the verdicts</a>, or hide them and '
               f'<a href="{listed}#guess">guess first</a>.</p>'), class_="trials", id="claims"),
        raw(f'<section class="chapters" id="chapters"><h2>The chapters</h2><ol>'
            f'{"".join(chapter_card(here, page) for here in chapters)}</ol></section>'),
        el("div", *about, *tail, class_="prose")]


def doors(page, chapters, first):
    """Three ways in: read, run, assign."""
    exercises = sum(len(here.exercises) for here in chapters)
    run = page.runs(chapters[0].stem).get("colab") or page.to("book/running")
    return f"""<section class="doors" aria-label="Three ways in">
<a href="{first}"><span class="label">Read</span><b>{len(chapters)} chapters, a question
each.</b><span>You predict, the page shows what was measured. Works on a phone and without a
network.</span></a>
<a href="{html.escape(run)}"><span class="label">Run</span><b>Every number comes out of a cell.</b>
<span>Open a chapter in Colab or Binder, change a line, and see what becomes of the
claim.</span></a>
<a href="{page.to("book/instructors")}"><span class="label">Assign</span><b>{exercises} exercises
that say what went wrong.</b><span>Hand out, grade a class in a sandbox, export the marks: one
command each.</span></a></section>"""


def strip(claims, listed):
    """All claims as marks, by chapter; each leads to its place in the list."""
    groups = {}
    for claim in claims:
        said = html.escape(f"{claim.id}: {claim.text} {claim.verdict.words}.")
        groups.setdefault(claim.stem, []).append(
            f'<li><a class="{claim.verdict.kind}" href="{listed}#{claim.id.lower()}" '
            f'title="{html.escape(claim.text)}" aria-label="{said}">{icon(claim.verdict.kind)}'
            f"<span>{claim.id}</span></a></li>")
    marks = "".join(f"<li><ol>{''.join(group)}</ol></li>" for group in groups.values())
    counts = {kind: sum(claim.verdict.kind == kind for claim in claims) for kind in ICONS}
    words = {"yes": ("holds", "hold"), "part": ("holds in part", "hold in part"),
             "no": ("does not hold", "do not hold"),
             "open": ("cannot be decided here", "cannot be decided here")}
    legend = "".join(f'<span class="{kind}">{icon(kind)}<b>{n}</b> {words[kind][n != 1]}</span>'
                     for kind, n in counts.items() if n)
    return f'<ol class="strip">{marks}</ol><p class="legend">{legend}</p>'


def chapter_card(here, page):
    """A chapter with its question."""
    marks = "".join(icon(claim.verdict.kind) for claim in here.claims)
    marks = f' · {marks}<span class="vh">{len(here.claims)} claims</span>' if marks else ""
    return (f'<li><a href="{page.to(f"book/{here.stem}")}"><span class="n">{here.number}</span> '
            f"<h3>{here.title}</h3><p>{inline(here.question)}</p>"
            f"<small>{len(here.exercises)} exercises{marks}</small></a></li>")


# The claims


def claims_page(doctree, page):
    """All claims, to be searched, filtered and guessed."""
    text, chapters = doctree[0], list(shelf().values())
    claims = [claim for here in chapters for claim in here.claims]
    question, _, rest = text[1].astext().replace("\n", " ").partition(". ")
    counts = {kind: sum(claim.verdict.kind == kind for claim in claims) for kind in ICONS}
    filters = "".join(
        f'<label><input type="radio" name="v" id="v-{kind}">{icon(kind)}{label_of(kind)} '
        f"<small>{n}</small></label>" for kind, n in counts.items())
    items = "".join(
        f'<li class="chapter"><h2><a href="{page.to(f"book/{here.stem}")}"><span class="n">'
        f"{here.number}</span> {here.title}</a></h2></li>"
        + "".join(claim_item(claim, page) for claim in here.claims)
        for here in chapters if here.claims)
    text[:] = [raw(f"""
<header class="opening"><h1>The claims</h1><p class="question">{escape(question)}.</p>
<p>{escape(rest)}</p></header>
<form class="filter" id="guess" aria-label="Filter the claims"><fieldset>
<legend class="vh">Verdict</legend><label><input type="radio" name="v" id="v-all" checked>All
<small>{len(claims)}</small></label>{filters}</fieldset><label class="write js-only">
<span class="vh">Search the claims</span><input type="search" id="words" autocomplete="off"
placeholder="Search"></label><label class="switch"><input type="checkbox" id="hide">Hide the
verdicts</label><p class="vh" id="left" role="status"></p></form>
<ol class="claims">{items}</ol>""")]


def claim_item(claim, page):
    """A claim in the list: statement, verdict or bet, what was measured."""
    verdict, id = claim.verdict, claim.id.lower()
    cell = f"{page.to(f'book/{claim.stem}')}#claim-{id}"
    lead = "" if verdict.words.endswith("when") or not verdict.when else "when "
    scale = (f'<p class="scale"><span class="label">Measured at</span> '
             f"{numbers(verdict.scale)}</p>" if verdict.scale else "")
    elsewhere = (f'<p class="elsewhere"><span class="label">Elsewhere</span> '
                 f"{inline(claim.elsewhere)}</p>" if claim.elsewhere else "")
    same = star(claim.id, claim.stem, verdict.words.lower(), verdict.when or None)
    same = f"<p>The same verdict at {same[0]} of {same[1]} points of the star.</p>" if same else ""
    told = fold("What was measured", f'<p class="measured">{numbers(verdict.measured)}</p>{scale}'
                f'{elsewhere}{same}<p><a href="{cell}">The cell that decides</a></p>')
    key = f"{claim.stem}/{claim.id}"
    return (f'<li class="claim {verdict.kind}" id="{id}"><h3><a href="{cell}">{claim.id}</a></h3>'
            f'<p class="statement">{curly(claim.text)}</p><div class="answer">'
            f'<p class="verdict">{icon(verdict.kind)}<span><strong>{verdict.words}</strong> '
            f'{escape(lead + verdict.when)}</span></p><p class="bet" data-bet="{key}" '
            f'data-kind="{verdict.kind}" hidden></p>{told}</div><fieldset class="guess" '
            f'data-store="{key}"><legend class="vh">Your bet on {claim.id}</legend>'
            f"{bets(f'b-{claim.id}')}</fieldset></li>")


# The reader's predictions


def predictions_page(doctree, page):
    """The table that the browser fills from what it keeps; export and deletion."""
    asked = [dict(stem=here.stem, title=f"{here.number} · {here.title}",
                  url=page.to(f"book/{here.stem}"), predictions=here.predictions,
                  claims={claim.id: claim.verdict.kind for claim in here.claims})
             for here in shelf().values()]
    known = json.dumps(asked, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    doctree[0] += raw(
        '<noscript><p>This page needs JavaScript: what you predicted is in your browser alone.</p>'
        '</noscript><div id="kept" class="js-only"></div><p class="keep js-only">'
        '<button class="do" id="export" type="button">Export as a file</button>'
        '<button class="do quiet" id="forget" type="button">Delete all</button></p>'
        '<p id="kept-said" role="status"></p>'
        f'<script type="application/json" id="asked">{known}</script>')

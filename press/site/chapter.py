"""A chapter's page: from the nodes of its notebook to what a reader meets.

The notebook stays as it is; tags alone decide what is folded. Each method of `Dresser` makes one
component; their look is in static/book.css, what moves in static/book.js.
"""

import re

from docutils import nodes

from ..chapters import HEADING, tags
from ..claims_page import LINE, lines_of
from ..rules import figure_without_alt
from .elements import (
    bets,
    curly,
    el,
    element,
    escape,
    fold,
    folded_code,
    icon,
    numbers,
    output,
    pre,
    raw,
    results,
    start_tag,
)
from .figures import picture
from .mathml import inline, words
from .shelf import caption_of, claim

SAID = ' class="said"'
ROLES = ("stub", "check", "claim", "lab", "figure", "play")
LEVELS = ("easy", "medium", "hard")
PAPER = re.compile(r"([A-Z][\w-]+)(?: and [A-Z][\w-]+| and others|,)*[^.;]*$")


def dress(doctree, here, page):
    """Dress, in place, the page of the chapter `here`.

    Args:
        doctree: the page's nodes.
        here: the chapter on the shelf.
        page: the page as the site sees it, a `Page`.
    """
    Dresser(doctree, here, page)()


def cell_index(node):
    """The number of the notebook's cell that a node is, or None."""
    return node.get("cell_index") if isinstance(node, nodes.container) else None


def is_cell(node):
    """Whether a node is a code cell or a verdict, dressed."""
    return isinstance(node, element) and "role" in node


def starts(node, words):
    """Whether a block quote opens with these bold words."""
    bold = next(iter(node.findall(nodes.strong)), None)
    return bold is not None and bold.astext().startswith(words) and node.astext().startswith(words)


class Dresser:
    """Dresses one chapter; keeps its counts."""

    def __init__(self, doctree, here, page):
        self.doctree, self.here, self.page = doctree, here, page
        self.figures, self.played = 0, False

    def __call__(self):
        self.cells()
        self.exercises()
        self.trials()
        self.predictions()
        self.measured_table()
        self.notes()
        self.opening()
        self.tally()

    # Cells

    def cells(self):
        """Each code cell as its tags say."""
        for node in list(self.doctree.findall(lambda n: cell_index(n) is not None)):
            cell = self.here.chapter.cells[cell_index(node)]
            role = next((role for role in ROLES if role in tags(cell)), "plain")
            try:
                node.replace_self(getattr(self, f"{role}_cell")(cell))
            except (KeyError, ValueError) as error:
                place = self.here.chapter.where(cell_index(node))
                self.page.fault(f"{place}: {error.args[0]}")
                node.parent.remove(node)

    def dressed(self, role, *children):
        """A dressed cell; children with `told` are what it printed or drew."""
        node = el("div", *children, class_=f"cell {role}")
        node["role"] = role
        return node

    def outputs(self, cell):
        """What a cell printed or drew."""
        found = []
        for out in cell.get("outputs", ()):
            data = out.get("data", {})
            if out.output_type == "stream":
                found.append(raw(output(out.text)))
            elif "image/png" in data:
                found.append(self.figure(cell, data))
            elif "text/html" in data:
                shown = data["text/html"]
                wide = ' class="scroll" tabindex="0"' if "<table" in shown else ""
                shown = results(shown) if 'class="results"' in shown else shown
                found.append(raw(f"<div{wide or SAID}>{shown}</div>"))
            elif "text/plain" in data:
                found.append(raw(output(data["text/plain"])))
        for node in found:
            node["told"] = True
        return found

    def plain_cell(self, cell):
        node = self.dressed("key", raw(pre(cell.source)), *self.outputs(cell))
        node["source"] = cell.source
        return node

    def lab_cell(self, cell):
        """Machinery: folded to the comment that says what happens."""
        first, _, rest = cell.source.partition("\n")
        label = escape(first.lstrip("# ").rstrip(".:"))
        return self.dressed("lab", raw(folded_code(rest.strip("\n"), label)), *self.outputs(cell))

    def figure_cell(self, cell):
        return self.dressed("figure", *self.outputs(cell))

    def play_cell(self, cell):
        """A figure to play with: its element, and the scripts that bring it to life."""
        shown = "".join(out.data["text/html"] for out in cell.get("outputs", ())
                        if "text/html" in out.get("data", {}))
        names = re.findall(r"data-play='(\w+)'", shown)
        shared, self.played = [] if self.played else ["play"], True
        scripts = "".join(f'<script defer src="{self.page.root}_static/play/{name}.js"></script>'
                          for name in shared + names)
        node = raw(re.sub(r"<script>.*?</script>", "", shown, flags=re.DOTALL) + scripts)
        node["told"] = True
        return self.dressed("play", node)

    def stub_cell(self, cell):
        node = self.dressed("stub", raw(pre(cell.source)))
        node["source"], node["id"] = cell.source, cell.id
        return node

    def check_cell(self, cell):
        node = self.dressed("check")
        node["source"] = cell.source
        return node

    def figure(self, cell, data):
        """A picture with its number, its caption, its words and its code."""
        for fault in figure_without_alt(cell):
            raise ValueError(fault)
        self.figures += 1
        number = f"{self.here.number}.{self.figures}"
        about = cell.metadata.get("mystnb", {})
        alt = about.get("image", {}).get("alt", "")
        said = alt if about.get("figure", {}).get("caption") else alt.partition(". ")[2]
        words = fold("In words", f"<p>{escape(said)}</p>", class_="fold more") if said else ""
        code = folded_code(cell.source, "Code") if "figure" in tags(cell) else ""
        name = f"fig-{number.replace('.', '-')}"
        shown = picture(data, alt, name, self.page.pictures, self.page.root)
        return raw(f'<figure id="{name}">{shown}<figcaption>'
                   f"<p><b>Figure {number}</b> {inline(caption_of(cell))}</p>{words}{code}"
                   "</figcaption></figure>")

    # Claims

    def claim_cell(self, cell):
        """The verdicts that a cell computed, as cards; the code that decides is folded."""
        text = "".join(out.get("text", "") for out in cell.get("outputs", ()))
        ids = [id for id, _ in lines_of(cell)]
        printed = LINE.sub("", text).strip("\n")
        drawn = [node for node in self.outputs(cell) if not node.astext().startswith("<pre")]
        card = el("div", class_="verdicts")
        card["role"] = "claim"
        if printed.strip():
            card += raw(output(printed))
        card += drawn
        card += [raw(self.card(claim(id), cell if id == ids[-1] else None)) for id in ids]
        if len(card) == 1:
            card["html"] = {}
        return card

    def card(self, about, cell):
        """A verdict."""
        anchor, verdict = f"claim-{about.id.lower()}", about.verdict
        key = f"{about.stem}/{about.id}"
        when = f" {self.condition(verdict)}" if verdict.when else ""
        scale = (f'<p class="scale"><span class="label">Measured at</span> '
                 f"{numbers(verdict.scale)}</p>" if verdict.scale else "")
        elsewhere = (f'<p class="elsewhere"><span class="label">Elsewhere</span> '
                     f"{inline(about.elsewhere)}</p>" if about.elsewhere else "")
        code = folded_code(cell.source, "The cell that decides") if cell else ""
        return (
            f'<section class="claim {verdict.kind}" id="{anchor}" aria-labelledby="{anchor}-id">'
            f'<p class="label" id="{anchor}-id">Claim {about.id}'
            f'<a href="{self.page.to("book/claims")}#{about.id.lower()}">all claims</a></p>'
            f'<p class="statement">{curly(about.text)}</p>'
            f'<p class="verdict">{icon(verdict.kind)}<span><strong>{verdict.words}</strong>{when}'
            f'</span></p><p class="bet" data-bet="{key}" data-kind="{verdict.kind}" hidden></p>'
            f'<p class="measured"><span class="label">Measured</span>{numbers(verdict.measured)}'
            f"</p>{scale}{elsewhere}{code}</section>")

    def condition(self, verdict):
        """The condition of a verdict, as the end of a sentence."""
        lead = "" if verdict.words.endswith("when") else "when "
        return escape(lead + verdict.when)

    def trials(self):
        """A claim before its evidence: the statement, and the reader's bet."""
        for quote in list(self.doctree.findall(nodes.block_quote)):
            said = re.match(r"Claim ([A-Z]\d+[a-z]?)\.", quote.astext())
            if not said:
                continue
            try:
                about = claim(said[1])
            except KeyError as error:
                at = next(i for i, cell in enumerate(self.here.chapter.cells)
                          if f"**Claim {said[1]}.**" in cell.source)
                self.page.fault(f"{self.here.chapter.where(at)}: {error.args[0]}")
                continue
            after = quote.next_node(descend=False, siblings=True)
            if is_cell(after) and f'id="claim-{about.id.lower()}"' in after.astext():
                quote.parent.remove(quote)  # the card right below says it
                continue
            name = f"bet-{about.id.lower()}"
            quote.replace_self(raw(
                f'<section class="claim trial" id="trial-{about.id.lower()}" '
                f'aria-labelledby="{name}-l"><p class="label" id="{name}-l">Claim {about.id}'
                f'<span class="vh">, your bet</span>'
                f'<a href="#claim-{about.id.lower()}">to the verdict</a></p>'
                f'<p class="statement">{curly(about.text)}</p>'
                f'<fieldset class="guess js-only" data-store="{about.stem}/{about.id}">'
                f"<legend>Your bet, before the evidence</legend>{bets(name)}</fieldset>"
                "</section>"))

    # Predictions

    def predictions(self):
        """A question, a guess to commit to, and behind it what was measured."""
        quotes = [quote for quote in self.doctree.findall(nodes.block_quote)
                  if starts(quote, "Predict.")]
        for number, quote in enumerate(quotes, 1):
            self.predict(number, quote)

    def predict(self, number, quote):
        key = f"{self.here.stem}/{self.here.predictions[number - 1]}"
        first = quote[0]
        first.remove(next(iter(first.findall(nodes.strong))))
        while first.children and not first[0].astext().strip():
            del first[0]
        if isinstance(first[0], nodes.Text):
            first.replace(first[0], nodes.Text(first[0].lstrip()))
        choices = quote[-1] if isinstance(quote[-1], nodes.bullet_list) else None
        if choices is not None:
            quote.remove(choices)
        hidden, at = self.answer(quote)
        box = el("section", raw(f'<p class="label" id="predict-{number}-l">Predict'
                                f'<span class="vh"> {number}</span></p>'),
                 *quote.children, class_="predict", id=f"predict-{number}",
                 aria_labelledby=f"predict-{number}-l")
        if hidden:
            box += self.guess(number, key, choices)
            quote.parent.insert(at, self.reveal(number, key, hidden))
        quote.replace_self(box)

    def answer(self, quote):
        """Takes out what tells: outputs, verdicts, the paragraph that reads them.

        Returns:
            What was taken, and the place behind the code that stays in sight.
        """
        parent, at = quote.parent, quote.parent.index(quote) + 1
        hidden = []
        while at < len(parent) and is_cell(parent[at]):
            cell = parent[at]
            outs = [child for child in cell if child.get("told")]
            if hidden or cell["role"] in ("claim", "figure", "play"):
                hidden.append(cell)
                parent.remove(cell)
                continue
            for out in outs:
                cell.remove(out)
            hidden += outs
            at += 1
        after = parent[at] if hidden and at < len(parent) else None
        if isinstance(after, nodes.paragraph) and not after.astext().rstrip().endswith(":"):
            parent.remove(after)
            hidden.append(after)
        return hidden, at

    def guess(self, number, key, choices):
        """The form: choices if the quote offers some, else a line to write on."""
        button = raw("<button>Commit</button>")
        form = el("form", class_="guess js-only", data_store=key, data_opens=f"reveal-{number}")
        if choices is None:
            form += [raw('<label class="write">Your guess<input type="text" autocomplete="off" '
                         'placeholder="a number, or a few words"></label>'), button]
            return form
        field = el("fieldset", raw("<legend>Your guess</legend>"), class_="choices")
        for item in choices:
            value = self.words_of(number, item)
            named = {"aria-label": value} if next(iter(item.findall(nodes.math)), None) else {}
            field += el("label", raw(start_tag("input", {
                "type": "radio", "name": f"p{number}", "value": value, **named})),
                        el("span", *(child for part in item for child in part)))
        form += [field, button]
        return form

    def words_of(self, number, choice):
        """A choice as a line of text, as it is kept and read out."""
        try:
            return "".join(words(text) if isinstance(text.parent, nodes.math) else text
                           for text in choice.findall(nodes.Text)).strip()
        except ValueError as error:
            at = [at for at, cell in enumerate(self.here.chapter.cells)
                  for _ in re.findall(r"^> \*\*Predict\.", cell.source, re.MULTILINE)][number - 1]
            self.page.fault(f"{self.here.chapter.where(at)}: {error.args[0]}")
            return choice.astext()

    def reveal(self, number, key, hidden):
        """What was measured, closed until the reader commits or opens it."""
        marks = "".join(f'<label><input type="radio" name="m{number}" value="{mark}">{mark}</label>'
                        for mark in ("right", "nearly", "wrong"))
        return el("details", raw("<summary>Show what was measured</summary>"),
                  raw(f'<p class="bet" data-bet="{key}" hidden></p>'), *hidden,
                  raw(f'<div class="judged" role="group" aria-labelledby="m{number}-l" '
                      f'data-mark="{key}" hidden><span class="label" id="m{number}-l">Your '
                      f"prediction was</span>{marks}</div>"),
                  class_="reveal", id=f"reveal-{number}")

    def tally(self):
        """How the reader's predictions did; filled by the browser from what it keeps."""
        if self.here.predictions:
            others = self.page.to("book/predictions")
            self.doctree[0] += raw(
                f'<aside class="tally js-only" data-tally="{self.here.stem}" hidden '
                f'aria-label="Your predictions"><p class="label">Your predictions</p>'
                f'<p data-said></p><p><a href="{others}">All of your predictions</a></p></aside>')

    # Exercises

    def exercises(self):
        """An exercise's section becomes its box."""
        from attnlib.exercises import get

        for section in list(self.doctree.findall(nodes.section)):
            heading = HEADING.match("### " + section[0].astext())
            if heading:
                self.box(section, heading, get(heading["id"]))

    def box(self, section, heading, exercise):
        id, stars = exercise.id, len(heading["stars"])
        anchor = f"ex-{id.replace('.', '-')}"
        check = next(i for i, node in enumerate(section) if is_cell(node)
                     and node["role"] == "check")
        stub, solution = section[check - 1], section[check + 1:]
        code = pre(stub["source"].rstrip() + "\n\n" + section[check]["source"])
        del section[check - 1:]
        points = f"{exercise.points} point{'s' * (exercise.points != 1)}"
        section["html"] = {"aria-labelledby": f"{anchor}-t"}
        section["ids"], section["classes"] = [anchor], ["exercise"]
        section[0] = raw(
            f'<header><p class="label"><a href="#{anchor}">Exercise {id}</a> '
            f'<span class="stars" role="img" aria-label="{LEVELS[stars - 1]}, {stars} of 3 stars">'
            f'{"★" * stars}<s>{"★" * (3 - stars)}</s></span><span class="about">about '
            f'{exercise.minutes} minutes · {points}</span></p>'
            f'<h3 id="{anchor}-t">{inline(heading["title"])}</h3></header>')
        colab = self.page.colab(stub["id"])
        section += raw(f'<div class="cell stub">{code}{colab}</div>')
        for number, hint in enumerate(exercise.hints, 1):
            section += raw(fold(f'Hint {number}<span class="vh"> for exercise {id}</span>',
                                f"<p>{inline(hint)}</p>", class_="fold hint"))
        if solution:  # an edition without solutions has none
            section += el("details", raw('<summary>Solution<span class="vh"> of exercise '
                                         f"{id}</span></summary>"),
                          *solution, class_="fold solution")

    # The table at the end

    def measured_table(self):
        """What "What you measured" shows: its tables of one column stand as wide as the text.

        Lines of `words   number` become such a table.
        """
        section = next((s for s in self.doctree.findall(nodes.section)
                        if "what-you-measured" in s["ids"]), None)
        for cell in filter(is_cell, section or ()):
            for out in [child for child in cell if child.get("told")]:
                self.measured(out)

    def measured(self, out):
        """What a cell at the end printed, as its table."""
        if 'class="results' in out.astext() and out.astext().count('scope="col"') == 1:
            table = re.sub("<thead>.*</thead>", "", out.astext())
            table = re.sub('class="results[^"]*"', 'class="sum"', table, count=1)
            out.replace_self(raw(table))
            return
        found = re.fullmatch(r"<pre[^>]*><samp>(.*)</samp></pre>", out.astext() if out else "",
                             re.DOTALL)
        lines = re.sub("</?l->", "", found[1]).splitlines() if found else ()
        rows = [re.match(r"(\s*)(.*?\S)\s{2,}(\S.*)$", line)
                or re.match(r"(\s*)(.*\S)\s+(\S+)$", line)
                for line in lines]
        if rows and all(rows):
            table = "".join(f'<tr{" class=sub" if row[1] else ""}><th scope="row">{row[2]}</th>'
                            f"<td>{row[3]}</td></tr>" for row in rows)
            out.replace_self(raw(f'<table class="sum"><tbody>{table}</tbody></table>'))

    # Notes in the margin

    def notes(self):
        """The first "Xiao and others" of the text gets its paper beside it."""
        reading = next((s for s in self.doctree.findall(nodes.section)
                        if "further-reading" in s["ids"]), None)
        if reading is None:
            return
        for item in reading.findall(nodes.list_item):
            for link in item.findall(nodes.reference):
                before = item.astext().partition(link.astext())[0]
                year = re.match(r"\s*\((\d{4})\)", item.astext().partition(link.astext())[2])
                name = re.search(r".*\b([A-Z][\w-]+) and others[^;.]*$", before, re.DOTALL)
                if name and year and "refuri" in link:
                    self.note(reading, name[1], link["refuri"], link.astext(), year[1])

    def note(self, reading, name, target, title, year):
        for paragraph in self.doctree.findall(nodes.paragraph):
            if isinstance(paragraph.parent, nodes.list_item) or self.within(paragraph, reading):
                continue
            for text in paragraph.findall(nodes.Text):
                found = re.search(rf"{name} and others(?:,? {year})?", text)
                if found and not isinstance(text.parent, nodes.reference):
                    link = nodes.reference("", found[0], refuri=target, internal=False)
                    text.parent.replace(text, [nodes.Text(text[:found.start()]), link,
                                               nodes.Text(text[found.end():])])
                    paragraph.parent.insert(paragraph.parent.index(paragraph), raw(
                        f'<aside class="note" aria-label="{name} and others, {year}"><p>{name} and '
                        f'others, <a href="{target}">{escape(title)}</a>, {year}</p></aside>'))
                    return

    def within(self, node, section):
        """Whether a node stands in a section."""
        while node is not None and node is not section:
            node = node.parent
        return node is section

    # The opening

    def opening(self):
        """Number, title, question, what it takes, and what one can do afterwards."""
        section = self.doctree[0]
        able, builds = self.taken(section, "After this chapter", also=nodes.bullet_list), ""
        for lead in ("It builds on", "Builds on", "This chapter builds on"):
            found = self.taken(section, lead)
            if found:
                builds = found[0]
                break
        for paragraph in section.children:
            if paragraph.astext().startswith("The question of "):
                section.remove(paragraph)
                break
        here = self.here
        facts = [f"<li><b>{here.minutes}</b> minutes to read</li>"]
        if here.exercises:
            facts.append(f'<li><a href="#exercises"><b>{len(here.exercises)}</b> exercises, '
                         f"<b>{here.exercise_minutes}</b> minutes</a></li>")
        if here.claims:
            raws = self.doctree.findall(nodes.raw)
            trials = {id for node in raws for id in re.findall(r'id="(trial-\w+)"', node.astext())}
            marks = " ".join(
                f'<a href="#{"trial" if f"trial-{c.id.lower()}" in trials else "claim"}-'
                f'{c.id.lower()}">{c.id}</a>' for c in here.claims)
            facts.append(f"<li>puts {marks} to the test</li>")
        facts = el("ul", raw("".join(facts)), class_="facts")
        if builds:
            text = builds[0]
            if isinstance(text, nodes.Text):
                builds[0] = nodes.Text(re.sub(r"^(It|This chapter) b", "b", str(text)))
            facts += el("li", *builds.children)
        header = el("header", raw(f'<p class="label">Chapter {here.number}</p>'
                                  f"<h1>{inline(here.title)}</h1>"
                                  f'<p class="question">{inline(here.question)}</p>'),
                    facts, class_="opening")
        if able:
            header += el("div", raw('<p class="label" id="able">Afterwards you can</p>'),
                         el("ul", *able[1].children, aria_labelledby="able"), class_="able")
        section[0] = header

    def taken(self, section, words, also=None):
        """Takes the paragraph that begins so out of the opening, with the list behind it."""
        for at, node in enumerate(section):
            if isinstance(node, nodes.section):
                break
            if isinstance(node, nodes.paragraph) and node.astext().startswith(words):
                if also is None:
                    section.remove(node)
                    return [node]
                if at + 1 < len(section) and isinstance(section[at + 1], also):
                    both = section[at:at + 2]
                    del section[at:at + 2]
                    return both
        return None

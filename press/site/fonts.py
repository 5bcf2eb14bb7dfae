"""Cuts the site's five fonts to the signs the book uses: `python -m press.site.fonts`.

Run by hand when a chapter uses a new sign; what it writes, static/fonts, is committed (57 KB), so
that building needs neither npm nor fonttools. Needs `pip install fonttools brotli ziamath` (ziamath
carries STIX Two Math with its MATH table) and `npm i @fontsource/source-serif-4
@fontsource/inconsolata` in the folder it is run from. All are under the SIL Open Font License.
"""

import html
import importlib.util
import json
import re
import string
import subprocess
import sys
from pathlib import Path

from ..chapters import ROOT, Chapter, chapter_paths
from .mathml import TAG, mathml

OUT = Path(__file__).parent / "static" / "fonts"
SIGNS = Path(__file__).parent / "signs.json"
NPM = Path("node_modules/@fontsource")
ASCII = "".join(map(chr, range(32, 127)))
TEXT = ASCII + "÷·×éóŁ…→←√°²–—‘’“”•−≤≥±†§¶½¼¾≈äöüßàèçñŠšžć\u00a0"
FEW = ASCII + "÷·×°²±éèçöüäñ–—‘’“”…−\u00a0"  # of bold and italics
CODE = ASCII + "÷−√·×…’“”–²°é"
FORMULA = re.compile(r"\$\$(.+?)\$\$|\$([^$\n]+(?:\n[^$\n]+)?)\$", re.DOTALL)
ITALIC = {**{chr(97 + i): chr(0x1D44E + i) for i in range(26)}, "h": "ℎ",
          **{chr(65 + i): chr(0x1D434 + i) for i in range(26)},
          **{chr(0x3B1 + i): chr(0x1D6FC + i) for i in range(25)},
          **{chr(0x391 + i): chr(0x1D6E2 + i) for i in range(25)}, "∂": "\U0001D715"}


def formula_signs():
    """Every sign that a formula of the book shows; a browser draws a bare `<mi>` in italics."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "book").rglob("*.md")]
    texts += [cell.source for path in chapter_paths() for cell in Chapter(path).cells
              if cell.cell_type == "markdown"]
    signs = set("0123456789()[]{}|√−=+,.") | {ITALIC[letter] for letter in string.ascii_letters}
    for text in texts:
        for block, line in FORMULA.findall(re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
            drawn = mathml(TAG.sub("", block or line).strip(), "block" if block else "inline")
            for element, inside in re.findall(r"<(m\w+[^>]*)>([^<]+)</", drawn):
                inside = html.unescape(inside)
                signs |= set(ITALIC.get(inside, inside) if element == "mi" else inside)
    return signs


def narrow_roots(path, out):
    """STIX with fewer sizes of its growing signs.

    Chromium reserves for every root the width of the widest root sign the font has, and leaves a
    gap after it. A root over a fraction would need the next size: none is in the book.
    """
    from fontTools.ttLib import TTFont

    font = TTFont(path)
    variants, names = font["MATH"].table.MathVariants, font.getBestCmap()
    kept = {names[0x221A]: 1, names[0x2211]: 2}
    for glyphs, built in ((variants.VertGlyphCoverage.glyphs, variants.VertGlyphConstruction),
                          (variants.HorizGlyphCoverage.glyphs, variants.HorizGlyphConstruction)):
        for name, made in zip(glyphs, built):
            made.MathGlyphVariantRecord = made.MathGlyphVariantRecord[:kept.get(name, 5)]
            made.VariantCount = len(made.MathGlyphVariantRecord)
            if name == names[0x221A]:
                made.GlyphAssembly = None
    font.save(out)


def cut(source, name, signs, features):
    """Writes `static/fonts/name` with these signs and OpenType features."""
    subprocess.run([sys.executable, "-m", "fontTools.subset", str(source),
                    f"--output-file={OUT / name}", "--flavor=woff2",
                    "--unicodes=" + ",".join(f"{ord(sign):x}" for sign in sorted(signs)),
                    f"--layout-features={features}", "--no-hinting", "--desubroutinize"],
                   check=True)
    print(f"{name:18}{(OUT / name).stat().st_size:7}")


def main():
    """Cuts all five."""
    serif = str(NPM / "source-serif-4/files/source-serif-4-latin-")
    cut(serif + "400-normal.woff2", "text.woff2", TEXT, "kern,liga,tnum,ccmp")
    cut(serif + "400-italic.woff2", "text-italic.woff2", FEW, "kern,liga,ccmp")
    cut(serif + "600-normal.woff2", "text-bold.woff2", FEW, "kern,liga,tnum,ccmp")
    cut(NPM / "inconsolata/files/inconsolata-latin-400-normal.woff2", "mono.woff2", CODE, "ccmp")
    stix = Path(importlib.util.find_spec("ziamath").origin).parent / "fonts/STIXTwoMath-Regular.ttf"
    narrow_roots(stix, OUT / "stix.ttf")
    cut(OUT / "stix.ttf", "math.woff2", formula_signs(), "")
    (OUT / "stix.ttf").unlink()
    write_signs()


def write_signs():
    """Write down which signs the cut fonts have, so that a test can ask without reading fonts."""
    from fontTools.ttLib import TTFont

    found = {path.stem: "".join(map(chr, sorted(TTFont(path).getBestCmap())))
             for path in sorted(OUT.glob("*.woff2"))}
    SIGNS.write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

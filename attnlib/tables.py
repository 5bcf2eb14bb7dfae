"""Tables of results: a notebook shows them as tables, a terminal as columns of text."""

from __future__ import annotations

import html
from numbers import Integral, Real


def table(rows, columns, *, name="", form=".2f") -> Table:
    """A table of results, a row for each thing that was measured.

    Args:
        rows: the row's name -> its cells, one a column. A float is written as ``form`` says, True
            as "yes", False as "no", everything else as it is.
        columns: what the columns are, with units.
        name: what the rows are.
        form: how floats are written, as after the colon in an f-string.

    Returns:
        A `Table`; as the last line of a cell, a notebook shows it.

    Raises:
        ValueError: if a row does not have a cell for each column; the message names the row.

    >>> table({"soft": [0.848, True], "hard": [1.0, False]}, ["share", "learns"], name="look-up")
    look-up  share  learns
    soft      0.85     yes
    hard      1.00      no
    """
    for row, cells in rows.items():
        if len(cells) != len(columns):
            raise ValueError(f"row {row!r} has {len(cells)} cells for {len(columns)} columns")
    return Table(name, [str(column) for column in columns],
                 {str(row): [_written(cell, form) for cell in cells]
                  for row, cells in rows.items()})


class Table:
    """Rows of text under headings; numbers stand below each other."""

    def __init__(self, name, columns, rows):
        self.name, self.columns, self.rows = name, columns, rows

    def __repr__(self):
        lines = [[self.name, *self.columns], *([row, *cells] for row, cells in self.rows.items())]
        widths = [max(map(len, column)) for column in zip(*lines)]
        return "\n".join("  ".join([line[0].ljust(widths[0]),
                                    *map(str.rjust, line[1:], widths[1:])])
                         for line in lines)

    def _repr_html_(self):
        head = "".join(f'<th scope="col">{html.escape(column)}</th>' for column in self.columns)
        corner = f'<th scope="col">{html.escape(self.name)}</th>' if self.name else "<td></td>"
        body = "".join(f'<tr><th scope="row">{html.escape(row)}</th>'
                       + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"
                       for row, cells in self.rows.items())
        return ('<table class="results" style="font-variant-numeric: tabular-nums"><thead><tr>'
                f"{corner}{head}</tr></thead><tbody>{body}</tbody></table>")


def _written(cell, form):
    """A cell as text."""
    if isinstance(cell, bool) or type(cell).__name__ == "bool":  # numpy's own
        return "yes" if cell else "no"
    whole = isinstance(cell, Integral) or not isinstance(cell, Real)
    return str(cell) if whole else f"{cell:{form}}"

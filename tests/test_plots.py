"""The figures' primitives: what they draw, in which style, and what they refuse."""

import io
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

matplotlib.use("agg")

from matplotlib import colors, pyplot  # noqa: E402

from attnlib import plots  # noqa: E402

WEIGHTS = np.array([[0.85, 0.15, 0.0], [0.25, 0.754, 0.001]])
WORDS = {"rows": ["she", "cold"], "columns": ["anna", "tea", "the"]}


@pytest.fixture(autouse=True)
def closed():
    yield
    pyplot.close("all")


def texts(axes):
    return [text.get_text() for text in axes.texts]


def png(axes):
    file = io.BytesIO()
    axes.figure.savefig(file, format="png")
    return file.getvalue()


# The style.

def test_figures_are_legible_on_a_phone():
    for axes in (plots.heatmap(WEIGHTS, **WORDS, title="weights"),
                 plots.vectors([[1, 0]], ["anna"], names=("person", "points")),
                 plots.points([[0, 0], [1, 0], [0, 1]], list("abc"), name="values"),
                 plots.curves([0, 1], {"a": [1, 2], "b": [2, 1]}, names=("step", "loss"))):
        width = axes.figure.get_size_inches()[0]
        assert width <= 6
        per_point = 358 / (72 * width)  # pixels at a screen of 390
        axes.figure.canvas.draw()
        shown = [t for t in axes.figure.findobj(matplotlib.text.Text)
                 if t.get_visible() and t.get_text()]
        assert min(t.get_fontsize() for t in shown) * per_point >= 9
        assert axes.figure.get_facecolor() == (1, 1, 1, 1)


def test_a_picture_is_small_and_the_same_each_time():
    first, again = (png(plots.heatmap(np.random.default_rng(0).random((8, 8)),
                                      rows="abcdefgh", columns="abcdefgh")) for _ in range(2))
    assert first == again
    assert len(first) < 80_000


def test_importing_attnlib_or_plots_does_not_import_matplotlib():
    code = ("import sys, attnlib, attnlib.plots; "
            "sys.exit(any(m.partition('.')[0] == 'matplotlib' for m in sys.modules))")
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def dimmed(color, matrix):
    """A colour as somebody with another kind of colour vision sees it (linear RGB)."""
    rgb = np.array(colors.to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return np.clip(matrix @ linear, 0, 1)


VISION = {  # Viénot, Brettel and Mollon 1999, in linear RGB
    "all three cones": np.eye(3),
    "no red cones": np.array([[0.1124, 0.8876, 0], [0.1124, 0.8876, 0], [0.0040, -0.0040, 1]]),
    "no green cones": np.array([[0.2928, 0.7072, 0], [0.2928, 0.7072, 0], [-0.0223, 0.0223, 1]]),
}


@pytest.mark.parametrize("vision", VISION)
def test_neighbouring_lines_differ_for_every_kind_of_colour_vision(vision):
    seen = [dimmed(color, VISION[vision]) for color, _, _ in plots._LOOKS]
    for before, after in zip(seen, seen[1:]):
        assert np.abs(before - after).max() > 0.1


def test_lines_and_markers_differ_too():
    looks = plots._LOOKS
    assert len({str(line) for _, line, _ in looks}) == len({m for *_, m in looks}) == len(looks)


def test_figure_gives_axes_side_by_side():
    one = plots.figure(height=2)
    assert tuple(one.figure.get_size_inches()) == (plots.WIDTH, 2)
    left, right = plots.figure(columns=2)
    assert left.figure is right.figure and left is not right


# heatmap

def test_heatmap_shows_the_matrix_and_names_everything():
    axes = plots.heatmap(WEIGHTS, **WORDS, row_name="asks", column_name="offers", title="who")
    image, = axes.images
    assert np.array_equal(image.get_array(), WEIGHTS)
    assert image.get_clim() == (0, 0.85)
    assert [t.get_text() for t in axes.get_yticklabels()] == WORDS["rows"]
    assert [t.get_text() for t in axes.get_xticklabels()] == WORDS["columns"]
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("asks", "offers")
    assert axes.get_title(loc="left") == "who"
    assert texts(axes) == ["0.85", "0.15", "0", "0.25", "0.75", "0.00"]
    assert [t.get_position() for t in axes.texts[:4]] == [(0, 0), (1, 0), (2, 0), (0, 1)]


@pytest.mark.parametrize("numbers, shown", [
    ([[1, 0, 2]], ["1", "0", "2"]), ([[1, 0.5, 0]], ["1.0", "0.5", "0"]),
    ([[1, -0.25, 0]], ["1.00", "-0.25", "0"]), ([[0.004, 0, 1]], ["0.00", "0", "1.00"]),
])
def test_heatmap_gives_all_cells_the_digits_that_one_needs(numbers, shown):
    assert texts(plots.heatmap(numbers, rows=["a"], columns=list("xyz"))) == shown


def test_heatmap_is_white_at_zero_and_signed_where_numbers_are():
    plain = plots.heatmap(WEIGHTS, **WORDS).images[0]
    signed = plots.heatmap(WEIGHTS - 0.5, **WORDS).images[0]
    assert plain.to_rgba(0.0) == signed.to_rgba(0.0) == (1, 1, 1, 1)
    assert signed.get_clim() == (-0.5, 0.5)
    assert colors.to_hex(signed.to_rgba(0.5)) == plots.PALETTE["blue"].lower()
    assert colors.to_hex(signed.to_rgba(-0.5)) == plots.PALETTE["orange"].lower()


def test_heatmap_starts_at_zero_where_no_number_is_zero():
    assert plots.heatmap([[0.5, 0.75]], rows="a", columns="bc").images[0].get_clim() == (0, 0.75)


def luminance(color):
    return dimmed(color, np.eye(3)) @ [0.2126, 0.7152, 0.0722]


def test_heatmap_of_shares_ends_at_one():
    """Two matrices of shares have one colour for one number, also where a row is empty."""
    low = [[0.25, 0.25, 0.25, 0.25], [0.5, 0.25, 0.25, 0], [0, 0, 0, 0]]
    high = [[0.9, 0.1, 0, 0], [0, 1, 0, 0], [0.25, 0.25, 0.25, 0.25]]
    first, second = (plots.heatmap(shares, rows="abc", columns="wxyz").images[0]
                     for shares in (low, high))
    assert first.get_clim() == second.get_clim() == (0, 1)
    assert first.to_rgba(0.25) == second.to_rgba(0.25)
    scores = plots.heatmap([[0.25, 0.25], [3, -2]], rows="ab", columns="xy").images[0]
    assert scores.get_clim() == (-3, 3)


def test_heatmap_of_shares_ends_where_it_is_told():
    axes = plots.heatmap([[0.25, 0.75]], rows=["she"], columns=["anna", "tea"], top=1)
    assert axes.images[0].get_clim() == (0, 1)


def test_numbers_in_cells_stand_out():
    ramp = np.linspace(-1, 1, 120).reshape(12, 10)
    axes = plots.heatmap(ramp, rows=range(12), columns=range(10))
    assert len(axes.texts) == ramp.size
    for text, number in zip(axes.texts, ramp.flat):
        pair = luminance(text.get_color()), luminance(axes.images[0].to_rgba(number)[:3])
        assert (max(pair) + 0.05) / (min(pair) + 0.05) >= 4.5, number


def test_large_heatmaps_have_no_numbers():
    axes = plots.heatmap(np.ones((13, 3)), rows=range(13), columns=range(3))
    assert texts(axes) == []


@pytest.mark.parametrize("weights", [np.zeros((2, 3)), np.zeros((1, 1))])
def test_heatmap_of_zeros(weights):
    axes = plots.heatmap(weights, rows=range(len(weights)), columns=range(weights.shape[1]))
    assert set(texts(axes)) == {"0"}


@pytest.mark.parametrize("shape", [(3, 2), (2, 2), (2, 3, 1), (6,)])
def test_heatmap_refuses_labels_that_do_not_fit(shape):
    with pytest.raises(ValueError, match=r"2 rows and 3 columns") as caught:
        plots.heatmap(np.zeros(shape), **WORDS)
    assert str(shape) in str(caught.value)


def test_primitives_draw_where_they_are_told():
    axes = plots.figure()
    for drawn in (plots.heatmap(WEIGHTS, **WORDS, axes=axes),
                  plots.vectors([[1, 0]], ["a"], axes=axes),
                  plots.points([[1, 0]], ["a"], axes=axes),
                  plots.curves([0, 1], {"a": [1, 2]}, axes=axes)):
        assert drawn is axes
    assert len(pyplot.get_fignums()) == 1


# vectors and points

def test_vectors_go_from_start_to_end():
    axes = plots.vectors([[1, 0], [2, 3]], ["a", "b"], starts=[[0, 0], [1, 1]])
    arrows = [note for note in axes.texts if note.arrow_patch is not None]
    assert [(tuple(a.xyann), tuple(a.xy)) for a in arrows] == [((0, 0), (1, 0)), ((1, 1), (2, 3))]
    assert [t for t in texts(axes) if t] == ["a", "b"]
    assert axes.get_aspect() == 1


@pytest.mark.parametrize("end, side", [
    ((1, 0), ("left", "center")), ((-1, 0), ("right", "center")), ((0, 1), ("center", "bottom")),
    ((0, -1), ("center", "top")), ((1, 1), ("left", "bottom")), ((0, 0), ("center", "center")),
])
def test_a_vector_has_its_label_beyond_its_tip(end, side):
    label = plots.vectors([end], ["a"]).texts[-1]
    assert (label.get_ha(), label.get_va()) == side
    assert np.sign(label.xyann).tolist() == np.sign(end).tolist()


def test_all_of_each_vector_is_in_view():
    axes = plots.vectors([[5, 1], [-3, 2]], ["a", "b"], starts=[[0, -4], [0, 0]])
    assert axes.get_xlim()[0] < -3 and axes.get_xlim()[1] > 5
    assert axes.get_ylim()[0] < -4 and axes.get_ylim()[1] > 2


def test_points_are_marked_named_and_outlined():
    places = [[0, 0], [2, 0], [0, 2], [0.5, 0.5]]
    axes = plots.points(places, ["a", "b", "c", ""], hull=True, look=1, name="values")
    line, = axes.lines
    assert np.array_equal(line.get_xydata(), places)
    assert line.get_label() == "values"
    assert (line.get_color(), line.get_marker()) == (plots._LOOKS[1][0], plots._LOOKS[1][2])
    outline = axes.patches[0].get_xy()
    assert {tuple(corner) for corner in outline} == {(0, 0), (2, 0), (0, 2)}
    assert not plots.points(places, [""] * 4).patches


def test_corners_of_a_hull_have_their_labels_outside():
    axes = plots.points([[3, 3], [5, 3], [4, 5], [4, 1]], ["left", "right", "top", "below"],
                        hull=True)
    sides = {label.get_text(): tuple(np.sign(np.round(label.xyann))) for label in axes.texts}
    assert sides == {"left": (-1, 0), "right": (1, 0), "top": (0, 1), "below": (0, -1)}
    above = plots.points([[3, 3], [5, 3]], ["a", "b"]).texts
    assert [tuple(label.xyann) for label in above] == [(0, 7), (0, 7)]


@pytest.mark.parametrize("draw", [plots.vectors, plots.points])
@pytest.mark.parametrize("places", [[[1, 2, 3]], [1, 2], [[1, 2], [3, 4]]])
def test_places_must_be_in_the_plane_with_a_label_each(draw, places):
    with pytest.raises(ValueError, match=r"must be \(n, 2\) with n labels, got .* and 1 labels"):
        draw(places, ["a"])


@given(st.lists(st.tuples(*[st.integers(-4, 4)] * 2), min_size=1, max_size=12))
def test_the_hull_holds_every_point_and_no_corner_too_many(places):
    hull = plots._hull(np.array(places, dtype=float))
    assert set(hull) <= set(places) and len(set(hull)) == len(hull)
    sides = list(zip(hull, hull[1:] + hull[:1]))
    if len(hull) > 2:
        for (a, b), place in ((side, place) for side in sides for place in places):
            assert plots._turn(a, b, place) >= 0
            if place in hull and place not in (a, b):
                assert plots._turn(a, b, place) > 0
    else:  # all on one line: its two ends, or one point
        assert set(hull) == {min(places), max(places)}


# curves

def test_curves_show_the_mean_and_the_spread():
    runs = np.array([[1.0, 2.0], [3.0, 6.0]])
    axes = plots.curves([10, 20], {"two": runs, "one": [0.0, 1.0]}, names=("step", "loss"),
                        marks=True)
    two, one = axes.lines
    assert np.array_equal(two.get_xydata(), [[10, 2], [20, 4]])
    assert np.array_equal(one.get_xydata(), [[10, 0], [20, 1]])
    band, = axes.collections
    assert {(10, 1), (10, 3), (20, 2), (20, 6)} <= set(map(tuple, band.get_paths()[0].vertices))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", "loss")
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["two", "one"]
    assert len({line.get_linestyle() for line in axes.lines}) == 2
    assert [line.get_marker() for line in axes.lines] == ["o", "s"]


def test_one_curve_needs_no_legend_and_no_markers():
    axes = plots.curves([0, 1], {"a": [1, 2]})
    assert axes.get_legend() is None and axes.lines[0].get_marker() == "None"


def test_curves_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match=r"line 'a' of shape \(1, 3\) does not fit x \(2,\)"):
        plots.curves([0, 1], {"a": [1, 2, 3]})
    with pytest.raises(ValueError, match=r"line 'a' of shape \(1, 1, 2\)"):
        plots.curves([0, 1], {"a": [[[1, 2]]]})
    with pytest.raises(ValueError, match="at most 5 lines can be told apart, got 6"):
        plots.curves([0, 1], {name: [1, 2] for name in "abcdef"})


def shades(axes, shape):
    """The lightness of what is drawn in the middle of each cell of a grid."""
    axes.figure.canvas.draw()
    picture = np.asarray(axes.figure.canvas.buffer_rgba())[..., :3].mean(-1) / 255
    row, column = np.indices(shape) + 0.5
    across, up = axes.transData.transform(np.stack((column.ravel(), row.ravel()), -1)).T
    return picture[(len(picture) - up).astype(int), across.astype(int)].reshape(shape)


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2 ** 36)),
                min_size=1, max_size=4))
def test_masks_are_dark_where_a_query_may_attend_the_first_query_on_top(drawn):
    named = {f"{n}": np.array([bits >> bit & 1 for bit in range(rows * columns)], dtype=bool)
             .reshape(rows, columns) for n, (rows, columns, bits) in enumerate(drawn)}
    grids = plots.masks(named)
    assert [axes.get_title(loc="left") for axes in grids] == list(named)
    assert len(grids[0].figure.axes) == len(named) and grids[0].get_aspect() == 1
    for axes, mask in zip(grids, named.values()):
        seen = shades(axes, mask.shape)
        assert (seen[mask] < 0.5).all() and (seen[~mask] == 1).all()
    pyplot.close("all")


def test_a_mask_is_two_paths_whatever_its_size():
    sizes = []
    for n in (4, 64):
        axes, = plots.masks({"every other": np.indices((n, n)).sum(0) % 2 == 0})
        file = io.StringIO()
        axes.figure.savefig(file, format="svg")
        sizes.append(file.getvalue().count("<path"))
        axes, = plots.masks({"causal": np.tri(n, dtype=bool)})
        file = io.StringIO()
        axes.figure.savefig(file, format="svg")
    assert sizes[0] == sizes[1] and len(file.getvalue()) < 30_000


@pytest.mark.parametrize("mask", [np.ones((2, 3)), np.ones(3, bool), np.ones((1, 2, 2), bool),
                                  [[0, 1]]])
def test_masks_refuses_what_is_no_mask(mask):
    with pytest.raises(ValueError, match=r"mask 'odd' must be boolean \(n_q, n_k\), got "):
        plots.masks({"odd": mask})


def test_a_schematic_joins_its_boxes_and_fills_the_new_ones():
    axes = plots.schematic({"s": (0, 0, "scores\n(n,)"), "corner": (2, 0, ""),
                            "a": (0, 2, "shares\n(n,)"), "b": (2, 2, "values\n(n, d_v)")},
                           [("s", "a", "softmax"), ("s", "corner"), ("corner", "b", "across")],
                           new=["a"])
    axes.figure.canvas.draw()
    assert [t for t in texts(axes) if t] == ["scores\n(n,)", "shares\n(n,)", "values\n(n, d_v)",
                                             "softmax", "across"]
    boxes = {t.get_text().split("\n")[0]: t.get_bbox_patch() for t in axes.texts
             if t.get_bbox_patch()}
    blue, white = colors.to_rgba(plots.PALETTE["blue"]), (1, 1, 1, 1)
    assert boxes["shares"].get_edgecolor() == blue
    assert boxes["shares"].get_facecolor() != white
    assert boxes["scores"].get_edgecolor() != blue and boxes["scores"].get_facecolor() == white
    arrows = [t.arrow_patch for t in axes.texts if getattr(t, "arrow_patch", None)]
    assert len(arrows) == 3
    first = arrows[0].get_window_extent()  # from under the one box to above the other
    assert first.y1 <= boxes["scores"].get_window_extent().y0 + 1
    assert first.y0 >= boxes["shares"].get_window_extent().y1 - 1
    shown = [t.get_window_extent() for t in axes.texts if t.get_text()]
    assert all(axes.figure.bbox.contains(*box.min) and axes.figure.bbox.contains(*box.max)
               for box in shown)
    assert all(t.get_fontsize() >= 10 for t in axes.texts)


@pytest.mark.parametrize(("arrows", "new"), [([("a", "c")], []), ([], ["c"])])
def test_schematic_names_a_box_that_is_missing(arrows, new):
    with pytest.raises(ValueError, match="no box 'c'.*'a'"):
        plots.schematic({"a": (0, 0, "a")}, arrows, new=new)


# patches

def test_patches_are_framed_by_weight_where_they_lie():
    weights = np.array([[0.7, 0.0], [0.25, 0.04], [0.0, 0.01]])
    axes = plots.patches(np.arange(48).reshape(6, 8), weights, title="where seven?")
    assert texts(axes) == ["70", "25"] and axes.get_title(loc="left") == "where seven?"
    first, second = axes.patches
    assert first.get_bbox().bounds == (-0.5, -0.5, 4, 2)
    assert second.get_bbox().bounds == (-0.5, 1.5, 4, 2)
    assert first.get_linewidth() == pytest.approx(0.7 / 0.25 * second.get_linewidth())
    assert axes.texts[1].get_position() == (1.5, 2.5)
    shown = axes.images[0]
    assert shown.to_rgba(47)[0] < 0.1 and shown.to_rgba(0)[0] > 0.9  # ink is black


@pytest.mark.parametrize("shapes", [((6, 8), (4, 2)), ((6, 8), (3, 3)), ((6,), (3, 2)),
                                    ((6, 8), (6,)), ((6, 8), (0, 2))])
def test_patches_refuses_what_cannot_be_cut(shapes):
    with pytest.raises(ValueError, match="cannot be cut"):
        plots.patches(*map(np.zeros, shapes))

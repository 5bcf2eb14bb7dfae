// Chapter 2: the same queries and keys, wider and wider; how steep the shares still are, query by
// query. The typical query and the mean part ways: a few near-ties hold the mean up.

import { clamp, percent, softmax } from "./maths.js";
import { figure, h } from "./play.js";

const LEAST = -16, MOST = 1, BIN = 0.5; // powers of ten
const DOTS = 150, BARS = 84, EDGE = 26; // pixels

/** Slopes for each row of `dots`: of the shares by the scores, and by the query (`gram`: keys by keys). */
function compute({ dots, gram, scale }) {
  const weights = dots.map((row) => softmax(row.map((dot) => dot * scale)));
  const slopes = weights.map((row) => {
    const others = row.map((_, i) => row.reduce((sum, w, j) => sum + (i === j ? 0 : w), 0)); // 1 - w, exact when tiny
    const jacobian = row.map((w, i) => row.map((v, j) => (i === j ? w * others[i] : -w * v)));
    const byScores = Math.sqrt(jacobian.flat().reduce((sum, x) => sum + x * x, 0));
    const steps = jacobian.reduce((sum, line) => sum + line.reduce((part, x, j) =>
      part + x * line.reduce((inner, y, k) => inner + y * gram[j][k], 0), 0), 0);
    return [byScores, scale * Math.sqrt(Math.max(steps, 0))];
  });
  return { weights, by_scores: slopes.map(([a]) => a), by_query: slopes.map(([, b]) => b) };
}

const median = (list) => {
  const sorted = [...list].sort((a, b) => a - b), half = sorted.length / 2;
  return (sorted[Math.ceil(half) - 1] + sorted[Math.floor(half)]) / 2;
};
const mean = (list) => list.reduce((sum, x) => sum + x, 0) / list.length;
const power = (x) => (x > 0 ? clamp(Math.log10(x), LEAST, MOST) : LEAST);
const raised = (digits) => [...digits].map((d) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[d]).join("");
const short = (x) => (x === 0 ? "0" : x >= 0.01 ? x.toFixed(2) : x < 1e-16 ? "below 10⁻¹⁶" : x.toExponential(0).replace(/e-(\d+)/, (_, power) => ` · 10⁻${raised(power)}`));

function build(ui) {
  const { drawn } = ui.data;
  let now, slopes, order, width = 600;
  const chosen = () => drawn[ui.state.at];
  const measure = () => {
    const { dots, gram, d } = chosen();
    now = compute({ dots, gram, scale: d ** -ui.state.power });
    slopes = now[`by_${ui.state.by}`];
    order = slopes.map((_, i) => i).sort((a, b) => slopes[a] - slopes[b]);
  };
  measure();
  ui.data.state.query = order.at(-1); // a near-tie is the steepest, and carries the mean
  const x = (p) => 8 + ((width - 16) * (p - LEAST)) / (MOST - LEAST);
  const bin = (slope) => Math.floor((power(slope) - LEAST) / BIN);

  /** Where each query's dot lies: stacked in bins, [x, y]. */
  function places() {
    const count = (MOST - LEAST) / BIN, size = clamp((width - 16) / count - 1, 4, 11), full = Array(count).fill(0);
    const stacked = slopes.map((slope) => { const b = Math.min(bin(slope), count - 1); return [b, full[b]++]; });
    const step = Math.min(size, (DOTS - 40) / Math.max(...full));
    return stacked.map(([b, before]) => [x(LEAST + (b + 0.5) * BIN), DOTS - 6 - before * step, size / 2]);
  }
  const mark = (value, words, kind, above) => {
    const at = x(power(value)), end = at > width / 2;
    return [h("svg:line", { class: kind, x1: at, x2: at, y1: above ? 14 : 28, y2: DOTS }),
      h("svg:text", { class: kind, x: at + (end ? -5 : 5), y: above ? 12 : 27, "text-anchor": end ? "end" : "start" }, words)];
  };
  const picture = ui.picture("Slopes of all queries; below, the shares of one", (w) => {
    width = w;
    const dots = places(), weights = now.weights[ui.state.query], room = (w - 16) / weights.length, b = Math.min(30, room * 0.6);
    const floor = DOTS + EDGE + 34 + BARS;
    return [floor + 8, [
      h("svg:line", { class: "axis", x1: 8, x2: w - 8, y1: DOTS, y2: DOTS }),
      [-16, -12, -8, -4, 0].map((p) => h("svg:text", { class: "scale", x: x(p), y: DOTS + 16, "text-anchor": p === -16 ? "start" : "middle" },
        p === 0 ? "1" : `${p === -16 ? "≤ " : ""}10⁻${raised(String(-p))}`)),
      dots.map(([cx, cy, r], i) => h("svg:circle", { class: i === ui.state.query ? "one chosen" : "one", cx, cy, r: i === ui.state.query ? r + 2 : r,
        onclick: () => { ui.state.query = i; ui.refresh(); } })),
      mark(median(slopes), "median", "median", true), mark(mean(slopes), "mean", "mean", false),
      h("svg:text", { class: "title", x: 8, y: DOTS + EDGE + 16 }, "its shares"),
      weights.map((share, j) => [
        h("svg:rect", { class: "share", x: 8 + room * (j + 0.5) - b / 2, y: floor - BARS * 0.85 * share, width: b, height: BARS * 0.85 * share }),
        h("svg:text", { x: 8 + room * (j + 0.5), y: floor - BARS * 0.85 * share - 4, "text-anchor": "middle" }, percent(share).slice(0, w < 480 ? -2 : undefined))]),
      h("svg:line", { class: "axis", x1: 8, x2: w - 8, y1: floor, y2: floor })]];
  });

  ui.longest = 206;
  ui.add(h("style", {}, STYLE),
    h("div", { class: "row" },
      ui.slider({ label: "width d_k", min: 0, max: drawn.length - 1, show: (v) => String(drawn[v].d),
        get: () => ui.state.at, set: (v) => { // other vectors are drawn there: the rank stays
          const rank = order.indexOf(ui.state.query);
          ui.state.at = v;
          measure();
          ui.state.query = order[rank];
        } }),
      ui.slider({ label: "query", min: 0, max: chosen().dots.length - 1, show: (v) => (v === 0 ? "flattest" : v === order.length - 1 ? "steepest" : `${v + 1} of ${order.length}`),
        get: () => order.indexOf(ui.state.query), set: (v) => { ui.state.query = order[v]; } })),
    h("div", { class: "row" },
      ui.choice({ label: "scores ×", options: [[0, "1"], [0.5, "1/√d_k"], [1, "1/d_k"]], get: () => ui.state.power, set: (v) => { ui.state.power = v; } }),
      ui.choice({ label: "slope by a step of", options: [["scores", "the scores"], ["query", "the query, which moves all scores"]], get: () => ui.state.by, set: (v) => { ui.state.by = v; } })),
    h("div", { class: "h" }, "a dot for each query: its slope, how far its shares move for a small step"), picture.svg);

  return () => {
    measure();
    ui.paint();
    const { dots, d } = chosen(), { query } = ui.state, alive = slopes.filter((slope) => slope > 0.01).length;
    const best = now.weights[query].map((share, j) => [share, dots[query][j] * d ** -ui.state.power]).sort(([, a], [, b]) => b - a);
    ui.say(`Width ${d}: the typical query's slope is ${short(median(slopes))}, the mean ${short(mean(slopes))}; ${alive} of ${slopes.length} queries are above 0.01. `
      + `The chosen one has the slope ${short(slopes[query])}: its two best scores lie ${short(best[0][1] - best[1][1])} apart, and get ${percent(best[0][0])} and ${percent(best[1][0])}.`);
  };
}

const STYLE = `
.scale { fill: var(--faint); font-size: 12px; }
.one { fill: var(--blue); fill-opacity: .75; cursor: pointer; } .chosen { fill: var(--orange); fill-opacity: 1; stroke: currentColor; stroke-width: 1.5; }
.share { fill: var(--orange); } line.median { stroke: currentColor; stroke-width: 2; } line.mean { stroke: var(--green); stroke-width: 2; stroke-dasharray: 5 4; }
text.median { font-weight: 600; } text.mean { fill: var(--green-ink); font-weight: 600; }
`;

figure("scaling", { compute, build });

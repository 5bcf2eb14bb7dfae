// Chapter 8: one query, far keys in chunks. A chunk's mean says where to look; what it hides comes
// back once the chunk is chosen, if its mean is good enough to be chosen.

import { clamp, many, percent, softmax } from "./maths.js";
import { figure, h, put } from "./play.js";

const LOW = -4, HIGH = 4, TOP = 26, UP = 116, FIRST = TOP + UP + 44, STRIP = 66, BAR = 40;

/** The query stands at the last key. Shares of the keys: of all; own chunk and means; window and chosen chunks. */
function compute({ scores, chunk, top, window }) {
  const at = scores.length - 1, own = Math.floor(at / chunk), of = (j) => Math.floor(j / chunk);
  const means = Array.from({ length: own }, (_, c) => scores.slice(c * chunk, (c + 1) * chunk).reduce((sum, s) => sum + s, 0) / chunk);
  const both = softmax([...means.map((mean) => mean + Math.log(chunk)), ...scores.slice(own * chunk)]);
  const offered = means.map((_, c) => c).filter((c) => c * chunk <= at - window);
  const chosen = offered.sort((a, b) => means[b] - means[a]).slice(0, top);
  const seen = scores.map((_, j) => at - j < window || chosen.includes(of(j)));
  return { full: softmax(scores), means: scores.map((_, j) => (of(j) < own ? both[of(j)] / chunk : both[own + j - own * chunk])),
    chosen: softmax(scores.map((score, j) => (seen[j] ? score : -Infinity))), seen: seen.map(Number).join(""),
    picked: chosen, order: offered, level: means };
}

function build(ui) {
  const n = ui.data.state.scores.length;
  let now, width = 600;
  const room = () => (width - 30) / n, center = (j) => room() * (j + 0.5), y = (score) => TOP + (UP * (HIGH - score)) / (HIGH - LOW);
  const loudest = () => ui.state.scores.indexOf(Math.max(...ui.state.scores));

  const picture = ui.picture("Scores of the keys, and their shares in three kinds of attention", (w) => {
    width = w;
    const { scores, chunk, window } = ui.state, b = Math.min(20, room() * 0.66), needle = loudest(), end = FIRST + 3 * STRIP - 12;
    const strip = (shares, words, line) => {
      const floor = FIRST + line * STRIP + BAR;
      return [h("svg:text", { class: "title", x: 0, y: floor - BAR - 5 }, words), h("svg:line", { class: "axis", x1: 0, x2: w - 30, y1: floor, y2: floor }),
        shares.map((share, j) => h("svg:rect", { class: j === needle ? "needle" : "share", x: center(j) - b / 2, width: b, y: floor - BAR * share, height: BAR * share })),
        h("svg:text", { class: "loud", x: w, y: floor, "text-anchor": "end" }, percent(shares[needle]))];
    };
    return [end, [
      now.level.map((_, c) => h("svg:rect", { class: `chunk ${now.picked.includes(c) ? "picked" : c % 2 ? "odd" : ""}`, x: room() * c * chunk, width: room() * chunk, y: TOP - 8, height: UP + 16 })),
      h("svg:rect", { class: "near", x: room() * Math.max(0, n - window) + 1, width: room() * Math.min(n, window) - 2, y: TOP - 8, height: UP + 16 }),
      h("svg:text", { class: "title", x: 0, y: 12 }, "scores: drag them"),
      [[HIGH, `+${HIGH}`], [0, "0"], [LOW, `−${-LOW}`]].map(([v, words]) => h("svg:text", { class: "side", x: w, y: y(v) + 4, "text-anchor": "end" }, words)),
      h("svg:line", { class: "axis", x1: 0, x2: w - 30, y1: y(0), y2: y(0) }),
      scores.map((score, j) => h("svg:line", { class: "stem", x1: center(j), x2: center(j), y1: y(0), y2: y(score) })),
      h("svg:path", { class: "asks", d: `M${center(n - 1)} ${TOP + UP + 10}l6 10h-12z` }), h("svg:text", { class: "side", x: center(n - 1) - 9, y: TOP + UP + 21, "text-anchor": "end" }, "the query's place"),
      strip(now.full, `all keys: ${n} looks`, 0), strip(now.means, `own chunk, means of the others: ${now.level.length + n - now.level.length * chunk} looks`, 1),
      strip(now.chosen, `window, chosen chunks: ${many(now.order.length, "mean")} + ${many([...now.seen].filter((c) => c === "1").length, "key")}`, 2)]];
  });
  const set = (j, score) => { ui.state.scores[j] = clamp(Math.round(10 * score) / 10, LOW, HIGH); };
  const handles = ui.data.state.scores.map((_, j) => ui.handle(picture, { label: `Score of key ${j + 1}. Arrow keys change it.`, reach: () => Math.min(22, room() / 2),
    move: (_, py) => set(j, HIGH - ((py - TOP) * (HIGH - LOW)) / UP), key: (right, up) => set(j, ui.state.scores[j] + (right || up) / 10) }));
  const means = h("svg:g", { class: "means" }); // above the knobs, which would cover them
  picture.top.append(means);
  const slider = (label, name, max, show) => ui.slider({ label, min: 1, max, show, get: () => ui.state[name], set: (v) => { ui.state[name] = v; } });
  ui.longest = 190;
  ui.add(h("style", {}, STYLE), picture.svg,
    h("div", { class: "sliders" }, slider("keys in a chunk", "chunk", n >> 1 || 1), slider("chosen chunks", "top", 4, (v) => (v > now.order.length ? `${v}: all ${now.order.length}` : String(v))), slider("window", "window", n >> 1 || 1)),
    h("div", { class: "legend" }, "lines: the mean of each chunk, thick where it is chosen; dashed box: the window; right: the share of the loudest key"));

  return () => {
    const { scores, chunk } = ui.state, j = loudest(), c = Math.floor(j / chunk), rank = now => now.order.indexOf(c);
    now = compute(ui.state);
    ui.paint();
    means.replaceChildren(...now.level.map((mean, c) => h("svg:path", { class: now.picked.includes(c) ? "mean picked" : "mean", d: `M${room() * c * chunk + 2} ${y(mean)}H${room() * (c + 1) * chunk - 2}` })));
    handles.forEach(({ knob }) => put(knob.querySelector(".knob"), { r: clamp(room() * 0.3, 4, 9) }));
    handles.forEach((handle, i) => handle.at(center(i), y(scores[i]), scores[i], LOW, HIGH, `${scores[i]}, share ${percent(now.full[i])} of all, ${percent(now.chosen[i])} when chosen`));
    const place = rank(now), seen = now.seen[j] === "1";
    ui.say(`The loudest key, number ${j + 1}, gets ${percent(now.full[j])} among all keys, ${percent(now.means[j])} with means and ${percent(now.chosen[j])} with chosen chunks. `
      + (place < 0 ? seen ? "It stands in the window." : "It stands near the query, but not in its window, and no chunk that can be chosen has it."
        : seen ? "Its chunk's mean was good enough to be chosen." : `It is never looked at: ${place === 1 ? "another chunk has" : `${place} other chunks have`} a better mean.`));
  };
}

const STYLE = `
.chunk { fill: none; stroke: var(--line); } .odd { fill: var(--soft); } .chunk.picked { fill: color-mix(in srgb, var(--green) 18%, transparent); } .near { fill: none; stroke: currentColor; stroke-dasharray: 3 3; }
.stem { stroke: var(--orange); stroke-width: 2; }
.means { pointer-events: none; } .mean { stroke: var(--green-ink); stroke-width: 2; } .mean.picked { stroke-width: 5; } .asks { fill: currentColor; } .share { fill: var(--blue); } .needle { fill: var(--orange); } .loud { font-weight: 600; }
.legend { font-size: 13.5px; color: var(--faint); margin-top: .2rem; }
`;

figure("selection", { compute, build });

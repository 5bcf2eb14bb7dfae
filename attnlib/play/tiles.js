// Chapter 8: exact attention in tiles, one at a time in a small fast memory. What is counted is the
// numbers that travel between it and the slow memory.

import { clamp } from "./maths.js";
import { figure, h } from "./play.js";

const LEFT = 34, TOP = 34;

/** Loads and stores up to each tile, the most that is held at once, and what travels without tiles. */
function compute({ n, d, rows, columns, stay }) {
  const tall = blocks(n, rows), wide = blocks(n, columns), state = d + 1; // of a row: output and log-sum-exp
  const loads = [], stores = [];
  let loaded = 0, stored = 0, held = 0;
  for (const outer of stay === "queries" ? tall : wide) {
    loaded += stay === "queries" ? d * outer.size : 2 * d * outer.size;
    for (const inner of stay === "queries" ? wide : tall) {
      const [r, c] = stay === "queries" ? [outer, inner] : [inner, outer];
      loaded += stay === "queries" ? 2 * d * c.size : d * r.size + (c.from ? state * r.size : 0);
      if (stay === "keys" || c.last) stored += state * r.size;
      held = Math.max(held, (d + state) * r.size + 2 * d * c.size + r.size * c.size);
      loads.push(loaded);
      stores.push(stored);
    }
  }
  return { loads, stores, held, plain: [3 * n * d + 2 * n * n, n * d + 2 * n * n] };
}

const blocks = (n, size) => Array.from({ length: Math.ceil(n / size) }, (_, i) =>
  ({ from: i * size, size: Math.min(size, n - i * size), last: (i + 1) * size >= n }));

function build(ui) {
  const { n, d } = ui.data;
  let now, tall, wide, side = 300;
  const cell = () => Math.min(18, (side - LEFT - 6) / n), x = (j) => LEFT + j * cell(), y = (i) => TOP + i * cell();
  const count = () => tall.length * wide.length;
  const at = (step) => (ui.state.stay === "queries" ? [Math.floor(step / wide.length), step % wide.length] : [step % tall.length, Math.floor(step / tall.length)]);
  const stepOf = (i, j) => (ui.state.stay === "queries" ? i * wide.length + j : j * tall.length + i);

  const picture = ui.picture("Scores of all queries and keys, in tiles", (w) => {
    side = w;
    const [i, j] = at(ui.state.step), c = cell(), r = tall[i], k = wide[j];
    return [y(n) + 8, [
      h("svg:text", { class: "side", x: LEFT, y: 12 }, "keys and values →"),
      h("svg:text", { class: "side", transform: `translate(11 ${TOP}) rotate(-90)`, "text-anchor": "end" }, "queries"),
      h("svg:rect", { class: "slow", x: LEFT, y: TOP - 15, width: n * c, height: 10 }), h("svg:rect", { class: "slow", x: LEFT - 15, y: TOP, width: 10, height: n * c }),
      h("svg:rect", { class: "key", x: x(k.from), y: TOP - 15, width: k.size * c, height: 10 }), h("svg:rect", { class: "query", x: LEFT - 15, y: y(r.from), width: 10, height: r.size * c }),
      tall.flatMap((row, a) => wide.map((column, b) => h("svg:rect", { class: `tile ${stepOf(a, b) < ui.state.step ? "done" : stepOf(a, b) === ui.state.step ? "now" : ""}`,
        x: x(column.from) + 1, y: y(row.from) + 1, width: column.size * c - 2, height: row.size * c - 2, rx: 2 })))]];
  });
  const go = (step) => { ui.state.step = clamp(step, 0, count() - 1); };
  const handle = ui.handle(picture, { tap: true, label: "Tile in fast memory. Arrow keys take the one beside, above or below.",
    move: (px, py) => go(stepOf(clamp(Math.floor((py - TOP) / cell() / ui.state.rows), 0, tall.length - 1), clamp(Math.floor((px - LEFT) / cell() / ui.state.columns), 0, wide.length - 1))),
    key: (right, up) => { // along the way that is gone, on and on; across it as far as there are tiles
      const [i, j] = at(ui.state.step), along = ui.state.stay === "queries" ? right : -up;
      go(along ? ui.state.step + along : stepOf(clamp(i - up, 0, tall.length - 1), clamp(j + right, 0, wide.length - 1)));
    } });

  const bars = h("div", { class: "bars" }), whole = (number) => number.toLocaleString("en");
  const slider = (label, name) => ui.slider({ label, min: 1, max: n, get: () => ui.state[name], set: (v) => { ui.state[name] = v; ui.state.step = 0; } });
  ui.longest = 230;
  ui.add(h("style", {}, STYLE), h("div", { class: "panes" }, picture.svg, h("div", {},
    slider("queries in a tile", "rows"), slider("keys in a tile", "columns"),
    h("div", { class: "row" }, ui.choice({ label: "stays in fast memory", options: [["queries", "queries"], ["keys", "keys and values"]], get: () => ui.state.stay, set: (v) => { ui.state.stay = v; ui.state.step = 0; } })),
    h("div", { class: "h" }, "numbers that travel"), bars)));

  return () => {
    const { rows, columns, stay } = ui.state;
    [tall, wide] = [blocks(n, rows), blocks(n, columns)];
    go(ui.state.step);
    now = compute({ n, d, rows, columns, stay });
    ui.paint();
    const [i, j] = at(ui.state.step), r = tall[i], k = wide[j], last = count() - 1, step = ui.state.step;
    handle.at(x(k.from + k.size / 2), y(r.from + r.size / 2), step + 1, 1, last + 1, `tile ${step + 1} of ${last + 1}: queries ${r.from + 1} to ${r.from + r.size}, keys ${k.from + 1} to ${k.from + k.size}`);
    const sums = [["so far", now.loads[step], now.stores[step]], ["in the end", now.loads[last], now.stores[last]], ["all scores kept", ...now.plain]];
    const most = Math.max(...sums.map(([, a, b]) => a + b));
    bars.replaceChildren(...sums.flatMap(([words, loads, stores]) => [h("span", {}, words),
      h("span", { class: "track", "aria-hidden": "true" }, h("i", { style: `width:${(100 * loads) / most}%` }), h("i", { class: "second", style: `width:${(100 * stores) / most}%` })),
      h("span", {}, `${whole(loads)} loaded, ${whole(stores)} stored`)]));
    const total = now.loads[last] + now.stores[last], plain = now.plain[0] + now.plain[1];
    ui.say(`${n} queries and keys of width ${d}: the fast memory holds at most ${whole(now.held)} numbers, and ${whole(total)} travel, `
      + (total < plain ? `${(plain / total).toFixed(1)} times fewer than ${whole(plain)} with the ${n} × ${n} scores kept in slow memory.`
        : `no fewer than ${whole(plain)} with the ${n} × ${n} scores kept in slow memory: too few ${stay} in a tile; how many ${stay === "keys" ? "queries" : "keys"} pass by only changes the room.`));
  };
}

const STYLE = `
.slow { fill: var(--soft); stroke: var(--line); } .query { fill: var(--orange); } .key { fill: var(--blue); }
.tile { cursor: pointer; fill: var(--soft); stroke: var(--line); } .done { fill: color-mix(in srgb, var(--green) 35%, transparent); } .now { fill: color-mix(in srgb, var(--green) 80%, transparent); stroke: currentColor; }
.track .second { background: var(--orange); } .bars { display: grid; grid-template-columns: auto 1fr; gap: .1rem .6rem; font-size: 13.5px; align-items: center; } .bars > :nth-child(3n) { grid-column: 1 / -1; text-align: end; margin-bottom: .3rem; }
`;

figure("tiles", { compute, build });

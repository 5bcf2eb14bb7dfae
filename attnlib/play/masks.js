// Chapter 4: paint who may attend to whom, layer by layer, and see what can arrive in the end. One
// cell too many, in one layer, is enough for a future word to reach many outputs.

import { clamp, many, reachable } from "./maths.js";
import { figure, h, put } from "./play.js";

const ALL = [0, 1, 2]; // layers

/** `layers`: for each layer its rows, as strings of 0 and 1. Row i of `reach`: what output i can know. */
function compute({ layers }) {
  const masks = layers.map(unpack);
  return { reach: pack(reachable(masks)), pairs: masks.map((mask) => count(mask.flat(), Boolean)),
    empty: masks.map((mask) => count(mask, (row) => !row.some(Boolean))) };
}

const unpack = (rows) => rows.map((row) => [...row].map((c) => c === "1"));
const pack = (mask) => mask.map((row) => row.map(Number).join(""));
const count = (list, test) => list.filter(test).length;

function build(ui) {
  const { names, presets } = ui.data, n = names.length;
  const all = names.flatMap((_, i) => names.map((_, j) => [i, j]));
  let now, side = 400, brush = true, last = "";
  const used = () => ui.state.masks.slice(0, ui.state.depth);
  const painted = () => (ui.state.paint === "all" ? used() : [ui.state.masks[ui.state.paint]]);
  const open = (i, j) => painted().some((mask) => mask[i][j]);
  const known = (i, j) => now.reach[i][j] === "1";
  const future = (i, j) => ui.state.judge && j > i && j >= ui.state.given;
  const gutter = 64, top = 60, cell = () => Math.min(40, (side - gutter - 26) / n);

  function set(i, j, value) {
    const layers = ui.state.paint === "all" ? ALL : [ui.state.paint];
    for (const layer of layers) ui.state.masks[layer][i][j] = value;
    ui.state.preset = "";
  }
  function take(name) {
    ui.state.masks = ALL.map(() => unpack(presets[name].rows));
    Object.assign(ui.state, { preset: name, given: presets[name].given });
    ui.refresh();
  }

  const picture = ui.picture("Mask", (width) => {
    side = width;
    const c = cell(), x = (j) => gutter + j * c, y = (i) => top + i * c;
    const stairs = names.map((_, i) => `V${y(i + 1)}${i < n - 1 ? `H${x(i + 2)}` : ""}`).join("");
    return [y(n) + 6, [
      names.map((name, i) => [
        h("svg:text", { class: i === ui.state.here[0] ? "word here" : "word", x: gutter - 7, y: y(i + 0.5) + 4, "text-anchor": "end" }, name),
        h("svg:text", { class: "word", transform: `translate(${x(i + 0.5) + 3} ${top - 7}) rotate(-55)` }, name)]),
      all.map(([i, j]) => {
        const having = ALL.slice(0, ui.state.depth).filter((layer) => ui.state.masks[layer][i][j]);
        const some = ui.state.paint === "all" && having.length && having.length < ui.state.depth;
        const leak = future(i, j) && known(i, j);
        const kind = `cell ${leak ? "leak" : "fine"} ${open(i, j) ? "may" : known(i, j) ? "late" : "none"}`;
        const sign = some ? having.map((layer) => layer + 1).join() : leak ? "!" : "";
        return [h("svg:rect", { class: kind, x: x(j) + 1, y: y(i) + 1, width: c - 2, height: c - 2, rx: 3 }),
          !open(i, j) && known(i, j) && !leak && h("svg:circle", { class: "bead", cx: x(j + 0.5), cy: y(i + 0.5), r: 3.5 }),
          sign && h("svg:text", { class: open(i, j) ? "sign" : "sign pale", x: x(j + 0.5), y: y(i + 0.5) + 5, "text-anchor": "middle" }, sign)];
      }),
      ui.state.judge && h("svg:path", { class: "line", d: `M${x(1)} ${top}${stairs}` }),
      names.map((_, i) => used().some((mask) => !mask[i].some(Boolean))
        && h("svg:text", { class: "empty", x: x(n) + 6, y: y(i + 0.5) + 5 }, "∅"))]];
  });
  put(picture.svg, { role: "grid", "aria-label": "Mask: a row per query, a column per key. Arrow keys move, Space changes." });
  picture.svg.classList.add("paint");

  // Over the drawn cells lie those for keyboard and screen reader; one of them is in the tab order.
  const walk = (event, i, j) => {
    const way = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], Home: [0, -n], End: [0, n] }[event.key];
    if (way) cells[clamp(i + way[0], 0, n - 1)][clamp(j + way[1], 0, n - 1)].focus();
    else if (event.key === " " || event.key === "Enter") set(i, j, !open(i, j));
    else return;
    event.preventDefault();
    ui.refresh();
  };
  const rows = names.map((_, i) => h("svg:g", { role: "row", "aria-label": names[i] }, names.map((_, j) => h("svg:rect", { role: "gridcell", class: "hit",
    onfocus: () => { ui.state.here = [i, j]; ui.refresh(); }, onkeydown: (event) => walk(event, i, j) }))));
  const cells = rows.map((row) => [...row.children]);
  picture.top.append(...rows);
  ui.drag(picture.svg, picture, (x, y, first) => {
    const [i, j] = [Math.floor((y - top) / cell()), Math.floor((x - gutter) / cell())];
    if (!cells[i]?.[j] || (!first && last === `${i},${j}`)) return;
    last = `${i},${j}`;
    if (first) brush = !open(i, j);
    set(i, j, brush);
    cells[i][j].focus({ preventScroll: true });
  }, true);

  const buttons = Object.keys(presets).map((name) => h("button", { type: "button", onclick: () => take(name) }, name));
  ui.longest = 160;
  ui.add(h("style", {}, STYLE), h("div", { class: "panes" }, picture.svg, h("div", {},
    h("div", { class: "h for-hands" }, "begin with"), h("div", { class: "row" }, buttons),
    h("div", { class: "row" }, ui.choice({ label: "how many layers", options: [[1, "1"], [2, "2"], [3, "3"]],
      get: () => ui.state.depth, set: (v) => { ui.state.depth = v; if (ui.state.paint >= v) ui.state.paint = "all"; } })),
    h("div", { class: "row" }, ui.choice({ label: "paint in", options: [["all", "every layer"], [0, "the first"], [1, "the second"], [2, "the third"]],
      get: () => ui.state.paint, set: (v) => { ui.state.paint = v; if (v !== "all") ui.state.depth = Math.max(ui.state.depth, v + 1); } })),
    ui.tick({ label: "the future is forbidden", get: () => ui.state.judge, set: (v) => { ui.state.judge = v; } }),
    h("ul", { class: "key" }, [["fine may", "may attend"], ["fine late", "may not, but can know of it"], ["leak may", "the future leaks"],
      ["leak late", "the future leaks, passed on by other words"], ["fine may", "numbers: may attend in these layers only", "1"]]
      .map(([kind, words, sign = kind.startsWith("leak") ? "!" : ""]) => h("li", {}, h("svg:svg", { class: "box", viewBox: "0 0 16 16", "aria-hidden": "true" },
        h("svg:rect", { class: `cell ${kind}`, width: 16, height: 16, rx: 3 }),
        kind === "fine late" && h("svg:circle", { class: "bead", cx: 8, cy: 8, r: 3 }),
        sign && h("svg:text", { class: kind.endsWith("may") ? "sign" : "sign pale", x: 8, y: 13, "text-anchor": "middle" }, sign)), words))))));

  return () => {
    ui.state.masks ??= ui.state.layers.map(unpack);
    now = compute({ layers: used().map(pack) });
    ui.paint();
    cells.forEach((row, i) => row.forEach((node, j) => {
      const c = cell(), word = open(i, j) ? "may" : "may not";
      put(node, { x: gutter + j * c, y: top + i * c, width: c, height: c, tabindex: i === ui.state.here[0] && j === ui.state.here[1] ? 0 : -1,
        "aria-selected": String(open(i, j)), "aria-label": `${names[i]} ${word} attend to ${names[j]}${!open(i, j) && known(i, j) ? ", but can know of it" : ""}` });
    }));
    buttons.forEach((button) => button.setAttribute("aria-pressed", button.textContent === ui.state.preset));
    const { depth } = ui.state, leaks = count(all, ([i, j]) => future(i, j) && known(i, j));
    const holes = count(all, ([i, j]) => future(i, j) && used().some((mask) => mask[i][j]));
    const empty = Math.max(...now.empty), [row] = ui.state.here;
    ui.say([`After ${many(depth, "layer")}, “${names[row]}” can know ${count([...now.reach[row]], (c) => c === "1")} of ${n} words.`,
      !ui.state.judge ? "" : leaks ? `The future leaks into ${many(leaks, "pair")}, through ${many(holes, "cell")} of a mask.${depth < 3 ? " What if there is a layer more?" : ""}` : "No future word reaches an output.",
      empty ? `${many(empty, "row")} ${empty === 1 ? "is" : "are"} empty (∅): attention gives 0 there, only the residual goes on.` : ""].filter(Boolean).join(" "));
  };
}

const STYLE = `
.paint { touch-action: pan-y; cursor: crosshair; } .word { font-size: 12.5px; } .here { font-weight: 700; }
.fine.may, .bead { fill: var(--blue); } .fine.late { fill: color-mix(in srgb, var(--blue) 22%, transparent); }
.none { fill: var(--soft); } .leak.may { fill: var(--orange); }
.leak.late { fill: color-mix(in srgb, var(--orange) 30%, transparent); stroke: var(--orange); stroke-width: 1; }
.sign { font-weight: 700; fill: var(--on); stroke: none; } .sign.pale { fill: currentColor; }
.empty { fill: var(--orange-ink); font-weight: 700; font-size: 15px; }
.line { fill: none; stroke: currentColor; stroke-width: 1.8; stroke-dasharray: 5 3; }
.hit { fill: transparent; outline: none; } .hit:focus-visible { stroke: currentColor; stroke-width: 3; outline: none; }
.key { list-style: none; margin: .5rem 0 0; padding: 0; font-size: 13.5px; }
.key li { display: flex; gap: .5rem; align-items: center; margin: .15rem 0; } .box { width: 16px; height: 16px; flex: none; }
`;

figure("masks", { compute, build });

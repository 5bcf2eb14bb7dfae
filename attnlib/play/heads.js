// Chapter 6: where each number goes when heads are split and merged. Reshaping alone has the right
// shapes and the wrong numbers; only the swap of two axes moves anything in memory. It begins after the
// split, where the ways differ, with the first number that the right one moves.

import { clamp, many } from "./maths.js";
import { figure, h, put } from "./play.js";

const RIGHT = "right", SPLIT = "split by reshape", MERGE = "merge by reshape";

/** The numbers 0, 1, 2, … of an (n, d) matrix, split into heads (heads, n, d/heads) and merged (n, d) again. */
function compute({ n, d, heads, path }) {
  const wide = d / heads, flat = Array.from({ length: n * d }, (_, i) => i);
  const block = (list, size) => Array.from({ length: list.length / size }, (_, i) => list.slice(i * size, (i + 1) * size));
  const split = path === SPLIT ? block(block(flat, wide), n)
    : Array.from({ length: heads }, (_, g) => Array.from({ length: n }, (_, i) => Array.from({ length: wide }, (_, c) => i * d + g * wide + c)));
  const merged = path === RIGHT ? Array.from({ length: n }, (_, i) => split.flatMap((head) => head[i])) : block(split.flat(2), d);
  return { split, merged };
}

function build(ui) {
  const { d, state } = ui.data, moved = compute({ ...state, d, path: RIGHT }).split.flat(2).findIndex((id, place) => id !== place);
  Object.assign(state, { step: 1, here: Math.max(0, moved) });
  let now, size = 30, width = 600;
  const word = (id) => Math.floor(id / d), name = (id) => `${word(id) + 1}${d < 10 ? "" : "."}${(id % d) + 1}`; // word, feature

  /** The blocks of the chosen step: each has a heading and rows of numbers; then what is wrong with it. */
  function stage() {
    const { n, heads, step } = ui.state, wide = d / heads;
    const start = Array.from({ length: n }, (_, i) => Array.from({ length: d }, (_, c) => i * d + c));
    if (step === 0) return { blocks: [["", start]], shape: `x: (${n}, ${d})`, wrong: () => false };
    if (step === 1) return { blocks: now.split.map((head, g) => [`head ${g + 1}`, head]), shape: `split: (${heads}, ${n}, ${wide})`,
      wrong: (id, g, i) => word(id) !== i || Math.floor((id % d) / wide) !== g };
    return { blocks: [["", now.merged]], shape: `merged: (${n}, ${d})`, wrong: (id, g, i, c) => id !== i * d + c };
  }
  const misplaced = ({ blocks, wrong }) => blocks.flatMap(([, lines], g) => lines.flatMap((line, i) => line.filter((id, c) => wrong(id, g, i, c))));

  const picture = ui.picture("The numbers, row by row", (w) => {
    width = w;
    const { blocks, wrong } = stage(), { n, step, heads } = ui.state, wide = blocks[0][1][0].length, gap = 24;
    size = clamp((w - gap * (blocks.length - 1) - 30) / (wide * blocks.length), 22, 44);
    const around = Math.max(1, Math.floor((w - 24 + gap) / (wide * size + gap))), tall = n * size + 30, memory = blocks.flatMap(([, lines]) => lines.flat());
    const down = Math.ceil(blocks.length / around) * tall, small = Math.min(22, (w - 8) / Math.min(memory.length, 24)), across = Math.floor((w - 8) / small);
    const box = (id, x, y, side, bad) => h("svg:g", { "data-id": id, class: `cell w${word(id)}${id === ui.state.here ? " here" : ""}` },
      h("svg:rect", { x: x + 1, y: y + 1, width: side - 2, height: side - 2, rx: 3 }),
      side >= 18 && h("svg:text", { x: x + side / 2, y: y + side / 2 + 4, "text-anchor": "middle" }, name(id)),
      bad && h("svg:path", { class: "bad", d: `M${x + 2} ${y + side - 2}h${side - 4}` }));
    return [down + 44 + small * Math.ceil(memory.length / across), [
      blocks.map(([heading, lines], g) => {
        const left = 24 + (g % around) * (wide * size + gap), top = Math.floor(g / around) * tall + 24;
        return [h("svg:text", { class: "side", x: left, y: top - 6 }, heading),
          lines.map((line, i) => [h("svg:text", { class: "side", x: left - 6, y: top + (i + 0.5) * size + 4, "text-anchor": "end" }, g % around ? "" : i + 1),
            line.map((id, c) => box(id, left + c * size, top + i * size, size, wrong(id, g, i, c)))])];
      }),
      h("svg:text", { class: "side", x: 4, y: down + 18 }, "the same, as they lie in memory"),
      memory.map((id, i) => box(id, 4 + (i % across) * small, down + 26 + Math.floor(i / across) * small, small, false))]];
  });
  const move = (by) => { ui.state.here = clamp(ui.state.here + by, 0, ui.state.n * d - 1); ui.refresh(); };
  put(picture.svg, { tabindex: 0, role: "application", "aria-label": "The numbers. Arrow keys choose the one that is followed.",
    onkeydown: (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -d, ArrowDown: d, Home: -1e9, End: 1e9 }[event.key];
      if (!by) return;
      event.preventDefault();
      move(by);
    } });
  picture.svg.addEventListener("click", (event) => {
    const id = event.target.closest(".cell")?.getAttribute("data-id");
    if (id) { ui.state.here = Number(id); ui.refresh(); }
  });

  ui.longest = 150;
  ui.add(h("style", {}, STYLE),
    h("div", { class: "row" }, ui.choice({ label: "way", options: [[RIGHT, "swap axes"], [SPLIT, "split by reshape alone"], [MERGE, "merge by reshape alone"]],
      get: () => ui.state.path, set: (v) => { ui.state.path = v; } })),
    h("div", { class: "row" },
      ui.choice({ label: "step", options: [[0, "x"], [1, "split"], [2, "merged"]], get: () => ui.state.step, set: (v) => { ui.state.step = v; } }),
      ui.choice({ label: "heads", options: [[1, "1"], [2, "2"], [4, "4"]], get: () => ui.state.heads, set: (v) => { ui.state.heads = v; } }),
      ui.slider({ label: "words", min: 1, max: 6, get: () => ui.state.n, set: (v) => { ui.state.n = v; ui.state.here = Math.min(ui.state.here, v * d - 1); } })),
    picture.svg);

  return () => {
    const { n, heads, path, here, step } = ui.state;
    now = compute({ n, d, heads, path });
    ui.paint();
    const shown = stage(), wrong = misplaced(shown).length;
    const places = [here, now.split.flat(2).indexOf(here), now.merged.flat().indexOf(here)].slice(0, step + 1).map((place) => place + 1);
    const where = shown.blocks.flatMap(([, lines], g) => lines.flatMap((line, i) => line.includes(here) ? [[g, i]] : []))[0];
    ui.say(`${shown.shape}. ${step === 0 ? "" : wrong ? `${many(wrong, "number")} ${wrong === 1 ? "is" : "are"} not where ${wrong === 1 ? "it belongs" : "they belong"}. ` : path === SPLIT && step === 2 && heads > 1 ? "Every number is back: one wrong way undoes the other, and hides it. " : "Every number is where it belongs. "}`
      + `${name(here)}, feature ${(here % d) + 1} of word ${word(here) + 1}, stands in ${step === 1 ? `head ${where[0] + 1}, ` : ""}row ${where[1] + 1}: memory place ${places.join(" → ")}.`);
  };
}

const STYLE = `
svg:focus:not(:focus-visible) { outline: none; }
.cell { cursor: pointer; } .cell text { font-size: 12px; stroke: none; } .cell rect { fill-opacity: .3; } .side { font-size: 12.5px; fill: var(--faint); }
.w0 rect { fill: var(--blue); } .w1 rect { fill: var(--orange); } .w2 rect { fill: var(--green); } .w3 rect { fill: currentColor; fill-opacity: .14; }
.w4 rect { fill: var(--purple); } .w5 rect { fill: var(--yellow); } .here rect { stroke: currentColor; stroke-width: 2.5; } .here text { font-weight: 700; }
.bad { stroke: var(--orange); stroke-width: 3; }
`;

figure("heads", { compute, build });

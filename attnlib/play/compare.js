// The reader's own softmax, computed in Python on a grid of scores, beside attnlib's.

import { clamp, percent, softmax } from "./maths.js";
import { figure, h } from "./play.js";

const TALL = 130;

const compute = ({ scores }) => ({ weights: softmax(scores) });

function build(ui) {
  const { steps, shifts, yours } = ui.data, wide = steps.length;
  let width = 600;
  const scores = (a, b, shift) => [steps[a] + shifts[shift], steps[b] + shifts[shift], shifts[shift]];
  const order = ({ a, b, shift }) => (shift * wide + a) * wide + b, at = (a, b, shift) => yours[order({ a, b, shift })];
  const right = (theirs, ours) => Array.isArray(theirs) && ours.every((x, i) => Math.abs(x - theirs[i]) <= 1e-4);
  const differ = shifts.flatMap((_, shift) => steps.flatMap((_, a) => steps.flatMap((_, b) =>
    right(at(a, b, shift), compute({ scores: scores(a, b, shift) }).weights) ? [] : [{ shift, a, b }])));
  const wrong = shifts.map((_, shift) => differ.filter((place) => place.shift === shift).length);
  Object.assign(ui.data.state, differ[0]);
  const next = () => { Object.assign(ui.state, differ.find((place) => order(place) > order(ui.state)) ?? differ[0]); ui.refresh(); };
  const all = wide * wide;

  const picture = ui.picture("Three shares: attnlib's and yours", (w) => {
    width = w;
    const { a, b, shift } = ui.state, ours = compute({ scores: scores(a, b, shift) }).weights, theirs = at(a, b, shift), room = w / 3, bar = Math.min(34, room / 4);
    const one = (share, x, kind) => {
      const tall = Number.isFinite(share) ? 100 * clamp(share, 0, 1.15) : 0;
      return [h("svg:rect", { class: kind, x, width: bar, y: TALL - tall, height: tall }), h("svg:text", { x: x + bar / 2, y: TALL - tall - 4, "text-anchor": "middle" },
        Number.isFinite(share) ? percent(share).slice(0, w < 480 ? -2 : undefined) : Number.isNaN(share) ? "NaN" : "∞")];
    };
    return [TALL + 24, [h("svg:line", { class: "axis", x1: 0, x2: w, y1: TALL, y2: TALL }),
      ours.map((share, j) => [one(share, room * (j + 0.5) - bar - 3, "ours"), Array.isArray(theirs) && one(theirs[j] === "NaN" ? NaN : theirs[j] ?? Infinity, room * (j + 0.5) + 3, "theirs"),
        h("svg:text", { class: "side", x: room * (j + 0.5), y: TALL + 18, "text-anchor": "middle" }, `${w < 480 ? "" : "score "}${scores(a, b, shift)[j]}`.replace("-", "−"))])]];
  });
  const slider = (label, name) => ui.slider({ label, min: 0, max: wide - 1, show: (v) => String(steps[v]).replace("-", "−"), get: () => ui.state[name], set: (v) => { ui.state[name] = v; } });
  const key = (kind, words) => h("span", {}, h("svg:svg", { class: "box", viewBox: "0 0 12 12", "aria-hidden": "true" }, h("svg:rect", { class: kind, width: 12, height: 12 })), words);
  ui.longest = 105;
  ui.add(h("style", {}, STYLE), picture.svg, h("div", { class: "row" }, key("ours", "attnlib"), key("theirs", "yours")),
    h("div", { class: "row" }, slider("first score", "a"), slider("second score", "b")),
    ui.choice({ label: "added to all", options: shifts.map((shift, i) => [i, `+ ${shift}`]), get: () => ui.state.shift, set: (v) => { ui.state.shift = v; } }),
    ...(differ.length > 1 ? [h("div", { class: "row" }, h("button", { type: "button", onclick: next }, "next difference"))] : []));

  return () => {
    ui.paint();
    const { a, b, shift } = ui.state, theirs = at(a, b, shift), ours = compute({ scores: scores(a, b, shift) }).weights;
    const bad = wrong.reduce((sum, x) => sum + x, 0);
    ui.say(`${typeof theirs === "string" ? `Here yours ${theirs.startsWith("shape (") ? `returns ${theirs}` : theirs.startsWith("None: ") ? "returns nothing yet" : `raises ${theirs}`}. ` : right(theirs, ours) ? "Here the two are equal. " : "Here they differ. "}`
      + (bad ? `They differ at ${bad} of ${all * shifts.length} places: ${wrong.map((x, i) => `${x} with + ${shifts[i]}`).join(", ")}.` : `They are equal at all ${all * shifts.length} places of the grid.`));
  };
}

const STYLE = `
.ours { fill: var(--blue); } .theirs { fill: var(--orange); }
.box { width: 12px; height: 12px; display: inline-block; margin-right: .35rem; }
`;

figure("compare", { compute, build });

// Chapters 3 and 8: keys in chunks, each with its own softmax. With its log-sum-exp a chunk says how
// much it counts, and the whole comes out; without, every chunk counts the same.

import { clamp, percent, softmax } from "./maths.js";
import { figure, h } from "./play.js";

const LOW = -4, HIGH = 4, TOP = 26, UP = 120, BASE = TOP + UP, VALUES = BASE + 62, DOWN = 34, TABLE = VALUES + DOWN + 34, TELL = 81;

/** Each chunk's output and log-sum-exp (null: minus infinity, it saw nothing), and both merged. */
function compute({ scores, values, cuts }) {
  const edges = [0, ...cuts, scores.length];
  const parts = edges.slice(0, -1).map((from, i) => part(scores.slice(from, edges[i + 1]), values.slice(from, edges[i + 1])));
  const lses = parts.map(([, lse]) => lse), counts = softmax(lses);
  return { outputs: parts.map(([output]) => output), lses: lses.map((lse) => (lse === -Infinity ? null : lse)),
    output: counts.reduce((sum, share, i) => sum + share * parts[i][0], 0), lse: finite(logSum(lses)), counts };
}

const finite = (x) => (x === -Infinity ? null : x);

function part(scores, values) {
  const seen = scores.map((score) => score ?? -Infinity);
  return [softmax(seen).reduce((sum, w, j) => sum + w * values[j], 0), logSum(seen)];
}

function logSum(scores) {
  const top = Math.max(-Infinity, ...scores);
  return top === -Infinity ? top : top + Math.log(scores.reduce((sum, score) => sum + Math.exp(score - top), 0));
}

function build(ui) {
  const n = ui.data.state.scores.length, first = ui.data.state.scores;
  let now, whole, width = 600, held, grip;
  const room = () => (width - 34) / n, center = (j) => room() * (j + 0.5), y = (score) => TOP + (UP * (HIGH - score)) / (HIGH - LOW);
  const shifted = () => ui.state.scores.map((score) => (score === null ? null : score + ui.state.shift));
  const tell = (x, digits = 3) => (x === null ? "−∞" : x.toFixed(digits).replace(/^-(?=.*[1-9])/, "−").replace("-", ""));
  const outcome = () => (ui.state.forget ? now.outputs.reduce((sum, x) => sum + x, 0) / now.outputs.length : now.output);

  const picture = ui.picture("Scores and values of the keys, cut into chunks", (w) => {
    width = w;
    const edges = [0, ...ui.state.cuts, n], b = Math.min(22, room() * 0.6), value = (v) => VALUES - DOWN * v;
    return [TABLE + TELL - 4, [
      h("svg:text", { class: "title", x: 0, y: 12 }, "scores: drag them"), h("svg:text", { class: "title", x: 0, y: VALUES - DOWN - 6 }, "values"),
      now.counts.map((share, i) => h("svg:rect", { class: i % 2 ? "chunk odd" : "chunk", x: room() * edges[i], width: room() * (edges[i + 1] - edges[i]), y: TOP - 8, height: TABLE - TOP + TELL })),
      ui.state.cuts.map((cut) => h("svg:line", { class: "cut", x1: room() * cut, x2: room() * cut, y1: TOP - 8, y2: TABLE - 8 })),
      h("svg:line", { class: "axis", x1: 0, x2: width - 34, y1: y(0), y2: y(0) }), h("svg:line", { class: "axis", x1: 0, x2: width - 34, y1: VALUES, y2: VALUES }),
      [[HIGH, `+${HIGH}`], [0, "0"], [LOW, `−${-LOW}`]].map(([v, words]) => h("svg:text", { class: "side", x: width, y: y(v) + 4, "text-anchor": "end" }, words)),
      ui.state.scores.map((score, j) => [
        score !== null && h("svg:line", { class: "stem", x1: center(j), x2: center(j), y1: y(0), y2: y(score) }),
        h("svg:rect", { class: "value", x: center(j) - b / 2, width: b, y: Math.min(value(0), value(ui.state.values[j])), height: Math.max(1, DOWN * Math.abs(ui.state.values[j])) })]),
      now.counts.map((share, i) => {
        const from = edges[i], to = edges[i + 1], wide = room() * (to - from), narrow = wide < 70, edge = narrow ? 12 : 40;
        const cx = clamp(room() * (from + to) / 2, edge, width - 30 - edge), short = (share) => percent(share).slice(0, wide < 44 ? -2 : undefined);
        const same = 1 / now.counts.length, wrong = ui.state.forget && Math.abs(share - same) > 1e-9;
        return to === from ? [] : [["out", tell(now.outputs[i], narrow ? 1 : 2).replace(wide < 44 ? "0." : "", wide < 44 ? "." : "")], ["lse", tell(now.lses[i], narrow ? 0 : 1)],
          ["counts", short(ui.state.forget ? same : share)], ...(wrong ? [[wide < 120 ? "true" : "should be", `${narrow && wide >= 44 ? "≠ " : ""}${short(share)}`]] : [])].map(([word, text], line) =>
          h("svg:text", { class: `${line < 2 ? "fact" : "counts"}${line === 3 ? " wrong" : ""}`, x: cx, y: TABLE + 12 + 17 * line, "text-anchor": "middle" }, narrow ? text : `${word} ${text}`));
      })]];
  });
  const set = (j, score) => { ui.state.scores[j] = clamp(Math.round(10 * score) / 10, LOW, HIGH); };
  const toggle = (j) => { ui.state.scores[j] = ui.state.scores[j] === null ? first[j] : null; };
  const handles = first.map((_, j) => {
    const handle = ui.handle(picture, { label: `Score of key ${j + 1}. Arrow keys change it, Delete hides the key.`,
      move: (_, py) => set(j, HIGH - ((py - TOP) * (HIGH - LOW)) / UP), key: (right, up) => set(j, (ui.state.scores[j] ?? LOW) + (right || up) / 10) });
    handle.knob.addEventListener("dblclick", () => { toggle(j); ui.refresh(); });
    handle.knob.addEventListener("keydown", (event) => { if (event.key === "Delete") { toggle(j); ui.refresh(); } });
    return handle;
  });
  const place = (i, at) => { // a divider stays between its neighbours; two at one place make an empty chunk
    const edges = [0, ...ui.state.cuts, n];
    ui.state.cuts[i] = clamp(Math.round(at), edges[i], edges[i + 2]);
  };
  const pull = (i, px, begins) => { // of dividers at one place the first goes left, the last goes right
    const { cuts } = ui.state, from = cuts[i];
    if (begins) [held, grip] = [-1, px - room() * from];
    const to = clamp(Math.round((px - grip) / room()), 0, n);
    if (held < 0 && to !== from) {
      held = to < from ? cuts.indexOf(from) : cuts.lastIndexOf(from);
      dividers[held].knob.focus({ preventScroll: true });
    }
    if (held >= 0) place(held, to);
  };
  const level = () => { // lift and lower whole chunks; a score at the edge stays there, and the rest goes further
    for (let turn = 0; turn < 99; turn += 1) {
      const { lses } = compute(ui.state), edges = [0, ...ui.state.cuts, n], seen = lses.filter((lse) => lse !== null);
      const goal = seen.reduce((sum, lse) => sum + lse, 0) / seen.length;
      lses.forEach((lse, i) => { for (let j = edges[i]; j < edges[i + 1]; j += 1) if (ui.state.scores[j] !== null) ui.state.scores[j] = clamp(ui.state.scores[j] + goal - lse, LOW, HIGH); });
    }
    ui.refresh();
  };
  const dividers = ui.data.state.cuts.map((_, i) => ui.handle(picture, { label: `Divider ${i + 1}. Arrow keys move it.`,
    move: (px, _, begins) => pull(i, px, begins), key: (right, up) => place(i, ui.state.cuts[i] + (right || up)) }));
  dividers.forEach(({ knob }) => knob.classList.add("divider"));

  const sums = h("span"), crude = h("span"), error = h("span");
  ui.longest = 172;
  ui.add(h("style", {}, STYLE), picture.svg,
    ui.hiders("key", first.map((_, j) => j + 1), (j) => ui.state.scores[j] === null, toggle),
    h("div", { class: "row" }, ui.slider({ label: "add to all scores", min: -300, max: 300, step: 10, show: (v) => (v < 0 ? `− ${-v}` : `+ ${v}`), get: () => ui.state.shift, set: (v) => { ui.state.shift = v; } }),
      ui.tick({ label: "forget the log-sum-exp (mean of the outputs)", get: () => ui.state.forget, set: (v) => { ui.state.forget = v; } }),
      h("button", { type: "button", onclick: level }, "make the log-sum-exps equal")),
    h("div", { class: "facts" }, sums, error, crude));

  return () => {
    const { values, cuts, forget } = ui.state, scores = shifted();
    now = compute({ scores, values, cuts });
    whole = part(scores, values)[0];
    ui.paint();
    handles.forEach((handle, j) => {
      const score = ui.state.scores[j];
      handle.at(center(j), score === null ? y(LOW) + 12 : y(score), score ?? LOW, LOW, HIGH, score === null ? "hidden" : `${tell(score, 1)}, value ${tell(values[j], 2)}`);
      handle.knob.classList.toggle("gone", score === null);
    });
    dividers.forEach((divider, i) => divider.at(clamp(room() * cuts[i], 2, width - 36), BASE + 18, cuts[i], 0, n, cuts[i] < n ? `before key ${cuts[i] + 1}` : `after key ${n}`));
    const off = Math.abs(outcome() - whole), total = scores.reduce((sum, score) => Math.fround(sum + (score === null ? 0 : Math.fround(Math.exp(score)))), 0);
    sums.textContent = `merged ${tell(outcome())} · one softmax over all ${tell(whole)}`;
    error.textContent = off < 1e-9 ? "equal" : `off by ${off.toFixed(3)}`;
    error.className = off < 1e-9 ? "good" : "bad";
    crude.textContent = `Σ exp(s) in float32: ${total === Infinity ? "∞" : total === 0 ? "0" : "fits"}`;
    crude.className = total === Infinity || total === 0 ? "bad" : "";
    const apart = Math.max(...now.lses.map((lse) => lse ?? -Infinity)) - Math.min(...now.lses.map((lse) => lse ?? -Infinity)), seen = now.lses.filter((lse) => lse !== null).length;
    ui.say(seen === 0 ? "Nothing is visible: every log-sum-exp is −∞, and the output is 0."
      : !forget ? `${seen} of ${now.lses.length} chunks saw something. Each counts by its log-sum-exp, and the merged output is the one over all keys.`
        : apart < 1e-9 ? "The log-sum-exps are equal, so all chunks should count the same: here it does no harm to forget them."
          : `Without their log-sum-exps the chunks count the same, and the mean is off by ${off.toFixed(3)}. ${apart === Infinity ? "One chunk saw nothing, and counts as much as the others." : `The log-sum-exps are ${apart.toFixed(1)} apart: what if you make them equal?`}`);
  };
}

const STYLE = `
.chunk { fill: var(--soft); } .chunk.odd { fill: color-mix(in srgb, var(--green) 14%, transparent); }
.stem { stroke: var(--orange); stroke-width: 2.5; } .value { fill: var(--blue); } .fact { font-size: 12.5px; } .counts { font-size: 12.5px; font-weight: 600; } .wrong { fill: var(--orange-ink); }
.cut { stroke: var(--green); stroke-width: 2; } .divider { cursor: ew-resize; } .divider .knob { fill: var(--green); }
.handle.gone .knob { fill: none; stroke: var(--faint); stroke-dasharray: 3 2; }
`;

figure("chunks", { compute, build });

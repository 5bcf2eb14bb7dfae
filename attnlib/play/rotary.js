// Chapter 5: a clock for each pair of features. The hands of query and key turn with their places;
// what counts is the angle between them, and that is the distance alone.

import { clamp } from "./maths.js";
import { figure, h } from "./play.js";

const CURVE = 130;

/** The turned query and key, their score, and what each pair of features adds to it. */
function compute({ query, key, m, n, base }) {
  const turned = (x, place) => x.map((_, c) => {
    const angle = place * speed(c >> 1, x.length, base), [first, second] = [x[c & ~1], x[c | 1]];
    return c & 1 ? first * Math.sin(angle) + second * Math.cos(angle) : first * Math.cos(angle) - second * Math.sin(angle);
  });
  const [q, k] = [turned(query, m), turned(key, n)];
  const shares = Array.from({ length: q.length / 2 }, (_, i) => q[2 * i] * k[2 * i] + q[2 * i + 1] * k[2 * i + 1]);
  return { query: q, key: k, score: shares.reduce((sum, x) => sum + x, 0), shares };
}

const speed = (pair, dim, base) => base ** ((-2 * pair) / dim); // radians a position
const TURN = 2 * Math.PI;

function build(ui) {
  const { query, key, trained, longest } = ui.data, pairs = query.length / 2;
  let now, curve, width = 600;
  const input = (m, n) => ({ query, key, m, n, base: ui.state.base });
  const far = () => ui.state.m - ui.state.n;
  /** Does this distance bring a clock to an angle that no distance in training did? */
  const isNew = (omega) => {
    const seen = (trained - 1) * omega, angle = Math.abs(far() * omega) % TURN;
    return Math.min(angle, TURN - angle) > seen;
  };
  const place = (name, v) => {
    const step = v - ui.state[name], other = name === "m" ? "n" : "m";
    if (ui.state.together) {
      const least = -ui.state[other], most = longest - ui.state[other];
      const both = clamp(step, least, most);
      ui.state[name] += both;
      ui.state[other] += both;
    } else ui.state[name] = v;
  };

  const hand = (cx, cy, r, angle, kind) => h("svg:line", { class: kind, x1: cx, y1: cy, x2: cx + r * Math.cos(angle), y2: cy - r * Math.sin(angle) });
  /** A slice of the disc from one angle to another, at most a turn. */
  const slice = (cx, cy, r, from, angle, kind) => {
    if (Math.abs(angle) >= TURN) return h("svg:circle", { class: kind, cx, cy, r });
    const [a, b] = [from, from + angle].map((t) => `${cx + r * Math.cos(t)} ${cy - r * Math.sin(t)}`);
    return h("svg:path", { class: kind, d: `M${cx} ${cy}L${a}A${r} ${r} 0 ${Math.abs(angle) > Math.PI ? 1 : 0} ${angle > 0 ? 0 : 1} ${b}Z` });
  };
  const clocks = ui.picture("A clock for each pair of features", (w) => {
    width = w;
    const fit = Math.min(pairs, Math.max(2, Math.floor(w / 104))), across = Math.ceil(pairs / Math.ceil(pairs / fit)), room = w / across, r = Math.min(40, room / 2 - 12), tall = 2 * r + 46;
    return [tall * Math.ceil(pairs / across), Array.from({ length: pairs }, (_, i) => {
      const cx = room * ((i % across) + 0.5), cy = tall * Math.floor(i / across) + r + 22, omega = speed(i, 2 * pairs, ui.state.base);
      const start = (x) => Math.atan2(x[2 * i + 1], x[2 * i]);
      const [q, k] = [start(query) + ui.state.m * omega, start(key) + ui.state.n * omega];
      const seen = (trained - 1) * omega, apart = far() * omega, fresh = isNew(omega);
      return [
        h("svg:text", { class: "side", x: cx, y: cy - r - 8, "text-anchor": "middle" }, many(TURN / omega)),
        h("svg:circle", { class: "face", cx, cy, r }),
        slice(cx, cy, r, k - seen + start(query) - start(key), 2 * seen, "seen"),
        slice(cx, cy, r * 0.55, k + start(query) - start(key), apart % TURN, fresh ? "apart new" : "apart"),
        hand(cx, cy, r, k, "key"), hand(cx, cy, r, q, "query"),
        h("svg:text", { class: fresh ? "sum new" : "sum", x: cx, y: cy + r + 16, "text-anchor": "middle" }, `${signed(now.shares[i])}${fresh ? " new" : ""}`)];
    })];
  });
  const many = (x) => (x < 10 ? x.toFixed(1) : Math.round(x).toLocaleString("en"));
  const signed = (x) => `${x < 0 ? "−" : "+"}${Math.abs(x).toFixed(2)}`;

  const x = (d) => 8 + ((width - 16) * (d + longest)) / (2 * longest), y = (s) => 16 + (CURVE - 32) * (0.5 - s / (2 * shareBound()));
  const graph = ui.picture("The score at each distance", (w) => {
    const points = curve.map((s, i) => `${x(i - longest).toFixed(1)},${y(s).toFixed(1)}`).join(" ");
    return [CURVE + 20, [
      h("svg:rect", { class: "seen", x: x(1 - trained), width: x(trained - 1) - x(1 - trained), y: 8, height: CURVE - 16 }),
      h("svg:line", { class: "axis", x1: 8, x2: w - 8, y1: y(0), y2: y(0) }),
      h("svg:polyline", { class: "curve", points }),
      h("svg:text", { class: "side", x: 8, y: CURVE + 10 }, `−${longest}`),
      h("svg:text", { class: "side", x: x(0), y: CURVE + 10, "text-anchor": "middle" }, "0"),
      h("svg:text", { class: "side", x: w - 8, y: CURVE + 10, "text-anchor": "end" }, `+${longest}`)]];
  });
  const shareBound = () => Array.from({ length: pairs }, (_, i) => Math.hypot(query[2 * i], query[2 * i + 1]) * Math.hypot(key[2 * i], key[2 * i + 1]))
    .reduce((sum, x) => sum + x, 0);

  const depart = (d) => { // the key stays, or comes as near as both must
    const apart = clamp(Math.round(d), -longest, longest);
    ui.state.n = clamp(ui.state.n, Math.max(0, -apart), longest - Math.max(0, apart));
    ui.state.m = ui.state.n + apart;
  };
  const handle = ui.handle(graph, { tap: true, label: "Distance from key to query. Arrow keys change it.",
    move: (px) => depart(((px - 8) * 2 * longest) / (width - 16) - longest), key: (right, up) => depart(far() + (right || up)) });

  const slider = (label, name) => ui.slider({ label, min: 0, max: longest, get: () => ui.state[name], set: (v) => place(name, v) });
  ui.longest = 145;
  ui.add(h("style", {}, STYLE), h("div", { class: "h" }, "a clock for each pair of features, and in how many positions it turns once"), clocks.svg,
    h("div", { class: "key" }, "hands: ", h("b", { class: "q" }, "query"), ", ", h("b", { class: "k" }, "key"), `; grey: angles of distances below ${trained}; below each clock what it adds to the score`),
    h("div", { class: "row" }, slider("query at place", "m"), slider("key at place", "n")),
    h("div", { class: "row" }, ui.tick({ label: "move both together", get: () => ui.state.together, set: (v) => { ui.state.together = v; } }),
      ui.slider({ label: "base", min: 1, max: 6, step: 0.1, show: (v) => Math.round(10 ** v).toLocaleString("en"),
        get: () => Math.log10(ui.state.base), set: (v) => { ui.state.base = 10 ** v; } })),
    h("div", { class: "h" }, "the score against the distance: drag the dot"), graph.svg);

  return () => {
    const { m, n, base } = ui.state;
    now = compute(input(m, n));
    curve = Array.from({ length: 2 * longest + 1 }, (_, i) => compute(input(Math.max(i - longest, 0), Math.max(longest - i, 0))).score);
    ui.paint();
    handle.at(x(far()), y(now.score), far(), -longest, longest, `${far()}, score ${signed(now.score)}`);
    const fresh = Array.from({ length: pairs }, (_, i) => speed(i, 2 * pairs, base)).filter(isNew).length;
    ui.say(`Query at ${m}, key at ${n}: distance ${far()}, score ${signed(now.score)}. `
      + (fresh ? `${fresh} of ${pairs} clocks ${fresh === 1 ? "stands" : "stand"} at an angle that no distance below ${trained} makes.`
        : Math.abs(far()) < trained ? `Every pair at this distance has this score, and it lies within the ${trained} positions of training.`
          : `No clock shows an angle that the first ${trained} positions did not.`));
  };
}

const STYLE = `
.face { fill: none; stroke: var(--line); } .seen { fill: var(--soft); } .apart { fill: color-mix(in srgb, var(--green) 45%, transparent); }
.apart.new { fill: color-mix(in srgb, var(--orange) 50%, transparent); }
.query { stroke: var(--orange); stroke-width: 3; stroke-linecap: round; } .key { stroke: var(--blue); stroke-width: 3; stroke-linecap: round; }
.key { font-size: 13.5px; color: var(--faint); } .q, .k { forced-color-adjust: none; color: var(--orange-ink); } .k { color: var(--blue); }
.sum.new { fill: var(--orange-ink); font-weight: 600; }
.curve { fill: none; stroke: var(--blue); stroke-width: 2; }
`;

figure("rotary", { compute, build });

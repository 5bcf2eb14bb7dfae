// What all figures share: a frame, controls, what to drag, the comparison with attnlib.

import { LOOK } from "./look.js";
import { compare } from "./maths.js";

/** Give a node its attributes; `on…` is a listener. */
export function put(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  return node;
}

/** A node with its attributes and children; "svg:…" is a shape. */
export function h(tag, attributes = {}, ...children) {
  const [name, shape] = tag.split(":").reverse();
  const node = shape ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  node.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
  return put(node, attributes);
}

/**
 * Bring every `<div data-play="name">` to life (in a notebook: this output's). `compute` is what
 * attnlib computes; `build(ui)` adds controls and pictures, may change `data.state`, where it begins,
 * and returns `draw()`, for whenever `ui.state` has changed. Where that fails, the still words stay.
 */
export function figure(name, { compute, build }) {
  const mine = `[data-play="${name}"]`, near = document.currentScript?.parentElement?.querySelectorAll(mine);
  for (const host of near?.length ? near : document.querySelectorAll(mine)) {
    if (host.shadowRoot) continue;
    const root = host.attachShadow({ mode: "open" });
    try {
      const data = JSON.parse(host.dataset.given);
      const ui = frame(host, root, data), checked = compare(compute, data.cases);
      ui.start(build, checked);
      host.play = { data, compute, checked, ui };
    } catch (error) {
      root.replaceChildren(h("slot"));
      console.error(`figure ${name}:`, error);
    }
  }
}

/** Follow the page's colours, until the figure is gone: a cell may be run again. */
function watch(kept) {
  const scheme = matchMedia("(prefers-color-scheme: dark)"), pages = new MutationObserver(look);
  for (const node of [document.documentElement, document.body]) pages.observe(node, { attributes: true });
  scheme.addEventListener("change", look);
  function look() {
    const host = kept.deref();
    if (host) return host.play?.ui.theme();
    pages.disconnect();
    scheme.removeEventListener("change", look);
  }
}

function frame(host, root, data) {
  const controls = [], pictures = [];
  const body = h("div"), proof = h("small");
  const words = h("span"), says = h("p", { class: "says", "aria-hidden": "true" }, words);
  const live = h("p", { class: "unseen", role: "status" });
  const again = h("button", { type: "button", onclick: () => ui.reset() }, "Start again");
  const card = h("section", { class: "card", "aria-label": data.title,
    onkeydown: (event) => event.key === "Tab" || event.stopPropagation() }, // "d d" deletes a cell
    h("header", {}, h("strong", {}, data.title), again), body, says, live, proof);
  host.dataset.lmSuppressShortcuts = "true"; // JupyterLab listens first
  root.append(h("style", {}, LOOK), card);
  let draw, waiting = 0, resting = 0;
  const follow = (event, { svg }, move, first) => {
    const box = svg.getBoundingClientRect();
    move(event.clientX - box.left, event.clientY - box.top, first);
    ui.refresh();
  };
  const control = (type, attributes, show, set) => {
    const input = h("input", { type, ...attributes, oninput: () => { set(input); ui.refresh(); } });
    controls.push(() => show(input));
    return input;
  };

  const ui = {
    data, state: structuredClone(data.state), longest: 0, // letters of a sentence: what has room
    add: (...nodes) => body.append(...nodes),
    reset() { ui.state = structuredClone(data.state); ui.draw(); },
    refresh() { waiting ||= requestAnimationFrame(() => { waiting = 0; ui.draw(); }); },
    draw() { draw(); controls.forEach((show) => show()); },
    paint: () => pictures.forEach((picture) => picture.paint()),
    /** Say what is shown; read aloud once the hand rests. */
    say(text) {
      words.textContent = text;
      ui.longest = Math.max(ui.longest, text.length);
      says.dataset.room = "a 1 word ".repeat(ui.longest / 9 + 1);
      clearTimeout(resting);
      resting = setTimeout(() => { live.textContent = text; }, 600);
    },
    slider({ label, min, max, step = 1, get, set, show = String }) {
      const value = h("output");
      const input = control("range", { min, max, step }, (node) => {
        node.value = get();
        value.textContent = node.ariaValueText = show(get());
      }, (node) => set(+node.value));
      return h("label", { class: "slider" }, h("span", {}, label), input, value);
    },
    choice({ label, options, get, set }) {
      const name = `g${Math.random()}`;
      return h("fieldset", { class: "choice" }, h("legend", {}, label), options.map(([value, text]) =>
        h("label", {}, control("radio", { name }, (node) => { node.checked = get() === value; }, () => set(value)),
          h("span", {}, text))));
    },
    tick({ label, get, set }) {
      return h("label", { class: "tick" }, control("checkbox", {}, (node) => { node.checked = get(); },
        (node) => set(node.checked)), h("span", {}, label));
    },
    /** A button for each name, pressed while it is hidden. */
    hiders(what, names, gone, toggle) {
      return h("div", { class: "row for-hands" }, h("span", {}, `hide a ${what}`), names.map((name, j) => {
        const button = h("button", { type: "button", "aria-label": `hide ${name}`, onclick: () => { toggle(j); ui.refresh(); } }, name);
        controls.push(() => put(button, { "aria-pressed": String(gone(j)) }));
        return button;
      }));
    },
    /** A picture in pixels; `paint(width)` returns [height, shapes]. */
    picture(label, paint) {
      const shapes = h("svg:g"), top = h("svg:g");
      const svg = h("svg:svg", { role: "group", "aria-label": label }, shapes, top);
      const picture = { svg, top, paint() {
        const width = Math.max(svg.clientWidth, 200), [height, nodes] = paint(width);
        put(svg, { viewBox: `0 0 ${width} ${height}` });
        svg.style.height = `${height}px`;
        shapes.replaceChildren(...nodes.flat(Infinity).filter(Boolean));
      } };
      pictures.push(picture);
      return picture;
    },
    /** A knob to drag, `move(x, y, first)` in pixels, or to `tap` where it is to come; `key(right, up)` in steps. */
    handle(picture, { label, move, key, tap, reach = () => 22 }) {
      const area = h("svg:ellipse", { ry: 22, class: "reach" });
      const knob = h("svg:g", { class: "handle", tabindex: 0, role: "slider", "aria-label": label,
        onkeydown: (event) => {
          const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1], Home: [-1e6, 0], End: [1e6, 0] }[event.key];
          if (!way) return;
          event.preventDefault();
          key(...way.map((d) => d * (event.shiftKey ? 5 : 1)));
          ui.refresh();
        } }, area, h("svg:circle", { r: 9, class: "knob" }));
      knob.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false }); // or the page scrolls
      ui.drag(knob, picture, move);
      if (tap) picture.svg.addEventListener("click", (event) => knob.contains(event.target) || follow(event, picture, move));
      picture.top.append(knob);
      return { knob, at(x, y, now, min, max, words) {
        put(area, { rx: reach() });
        put(knob, { transform: `translate(${x} ${y})`, "aria-valuenow": now, "aria-valuemin": min,
          "aria-valuemax": max, "aria-valuetext": words });
      } };
    },
    /** Follow a pressed pointer: `move(x, y, first)`; a patient one lets a finger scroll. */
    drag(node, picture, move, patient = false) {
      let held = null;
      const release = () => { if (held) follow(held, picture, move, true); held = null; };
      const on = (type, listen) => node.addEventListener(type, listen);
      on("pointerdown", (event) => {
        if (event.button) return;
        node.setPointerCapture(event.pointerId);
        if (patient && event.pointerType === "touch") held = event;
        else follow(event, picture, move, true);
      });
      on("pointermove", (event) => {
        if (!node.hasPointerCapture(event.pointerId)) return;
        if (held && Math.abs(event.clientX - held.clientX) > 6) release();
        if (!held) follow(event, picture, move);
      });
      on("pointerup", release);
      on("pointercancel", () => { held = null; });
    },
    start(build, { equal, numbers, largest }) {
      draw = build(ui);
      proof.textContent = equal ? `✓ ${numbers} numbers as attnlib computes them` : `✗ off attnlib by ${largest}`;
      proof.classList.toggle("wrong", !equal);
      ui.theme();
      watch(new WeakRef(host));
      new ResizeObserver(ui.refresh).observe(card);
      ui.reset();
    },
    theme() { // the text tells light from dark
      const [r, g, b] = getComputedStyle(host).color.match(/[\d.]+/g);
      card.classList.toggle("dark", 0.3 * r + 0.6 * g + 0.1 * b > 128);
      for (let node = host; node; node = node.parentElement) {
        const ground = getComputedStyle(node).backgroundColor;
        if (!ground.endsWith(", 0)")) { card.style.setProperty("--ground", ground); break; }
      }
    },
  };
  return ui;
}

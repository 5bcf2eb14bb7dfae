const cells = [...document.querySelectorAll("button[data-exercise]")];
const width = new Set(cells.map((cell) => cell.dataset.exercise)).size;
const part = (id) => document.getElementById(id);
let at = 0, shown = null, timer = null, waiting = Promise.resolve();

const address = (cell) => "mark/" + encodeURIComponent(cell.dataset.student) + "/"
  + encodeURIComponent(cell.dataset.exercise);

async function asked(cell, options) {
  const answer = await fetch(address(cell), options);
  const found = await answer.json().catch(() => ({error: "not saved: the server said " + answer.status}));
  if (found.error) throw new Error(found.error);
  return found;
}

function noted(cell, mark) {
  const changed = mark.by_hand || mark.comment ? " ✎" : "";
  cell.textContent = +mark.points.toFixed(2) + changed;
  document.querySelectorAll("[data-sum]").forEach((sum) => {
    if (sum.dataset.sum === mark.student) sum.textContent = mark.sum;
  });
}

async function show(index) {
  await saved();
  at = Math.max(0, Math.min(cells.length - 1, index));
  const cell = cells[at];
  cells.forEach((other) => other.removeAttribute("aria-current"));
  cell.setAttribute("aria-current", "true");
  cell.scrollIntoView({block: "nearest", inline: "nearest"});
  try {
    const mark = await asked(cell);
    if (cells[at] !== cell) return;
    shown = cell;
    part("title").textContent = `${mark.name || mark.student} · ${mark.exercise} · ${mark.title}`;
    part("said").textContent = `The check: ${mark.said} (${mark.checked} of ${mark.out_of}). `;
    part("said").insertAdjacentHTML("beforeend", mark.sentence); // escaped by the server
    part("points").value = mark.by_hand ? mark.points : "";
    part("points").placeholder = mark.checked;
    part("outof").textContent = `of ${mark.out_of}; empty: what the check gave`;
    part("comment").value = mark.comment;
    part("answer").textContent = mark.answer || "(no answer was found)";
    part("witness").textContent = mark.witness || "(none)";
    part("notes").innerHTML = mark.notes.join(" ") || "(none)";
    part("state").textContent = "";
  } catch (error) {
    part("state").textContent = error.message;
  }
}

function save() {
  clearTimeout(timer);
  timer = null;
  const cell = shown;
  const body = JSON.stringify({points: part("points").value, comment: part("comment").value});
  waiting = waiting.then(async () => {
    try {
      const mark = await asked(cell, {method: "POST", body,
        headers: {"Content-Type": "application/json"}});
      noted(cell, mark);
      part("state").textContent = "saved";
    } catch (error) {
      part("state").textContent = error.message;
    }
  });
  return waiting;
}

const saved = () => timer === null ? waiting : save();

for (const id of ["points", "comment"]) {
  part(id).addEventListener("input", () => {
    part("state").textContent = "…";
    clearTimeout(timer);
    timer = setTimeout(save, 400);
  });
  part(id).addEventListener("blur", saved);
}
addEventListener("beforeunload", (event) => { if (timer !== null) { save(); event.preventDefault(); } });

const steps = {up: -width, down: width, left: -1, right: 1};
const keys = {j: "down", k: "up", h: "left", l: "right"};
document.querySelectorAll("[data-step]").forEach((button) =>
  button.addEventListener("click", () => show(at + steps[button.dataset.step])));
cells.forEach((cell, index) => cell.addEventListener("click", () => show(index)));
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("input, textarea")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const step = keys[event.key.toLowerCase()];
  if (step) show(at + steps[step]);
  const box = {p: "points", c: "comment"}[event.key.toLowerCase()];
  if (box) {
    event.preventDefault();
    part(box).focus();
  }
});
show(0);

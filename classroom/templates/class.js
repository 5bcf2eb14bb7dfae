const table = document.getElementById("students"), body = table.tBodies[0];
const value = (row, column) => {
  const text = row.cells[column].textContent.trim();
  return text !== "" && !isNaN(parseFloat(text)) ? parseFloat(text) : text;
};
[...table.tHead.rows[0].cells].forEach((head, column) => head.querySelector("button")?.addEventListener("click", () => {
  const down = head.getAttribute("aria-sort") === "ascending";
  [...table.tHead.rows[0].cells].forEach((other) => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const order = (a, b) => typeof a === typeof b ? (a < b ? -1 : a > b) : typeof a === "number" ? -1 : 1;
  const rows = [...body.rows].sort((a, b) => (down ? -1 : 1) * order(value(a, column), value(b, column)));
  body.append(...rows);
}));
document.getElementById("filter").addEventListener("input", (event) => {
  const wanted = event.target.value.toLowerCase();
  [...body.rows].forEach((row) => { row.hidden = !row.textContent.toLowerCase().includes(wanted); });
});

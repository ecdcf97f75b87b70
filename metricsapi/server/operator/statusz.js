"use strict";
let by = 1, up = true;
const order = { failing: 0, pending: 1, ok: 2 };
function value(row, column) {
  const cell = row.cells[column], raw = cell.dataset.v ?? cell.textContent;
  if (raw in order) return order[raw];
  return raw === "" ? -1 : isNaN(raw) ? raw : Number(raw);
}
function compare(a, b) {
  if (typeof a === typeof b && typeof a === "number") return a - b;
  return String(a).localeCompare(String(b), undefined, { numeric: true });
}
function sort() {
  const body = document.querySelector("tbody"), rows = [...body.rows].map(
    (row) => [value(row, by), value(row, 0), row]);
  rows.sort((a, b) => (up ? 1 : -1) * compare(a[0], b[0]) || compare(a[1], b[1]));
  body.append(...rows.map((entry) => entry[2]));
  document.querySelectorAll("th").forEach((head, column) => {
    if (column === by) head.setAttribute("aria-sort", up ? "ascending" : "descending");
    else head.removeAttribute("aria-sort");
  });
}
function filter() {
  const text = document.getElementById("filter").value.toLowerCase();
  for (const row of document.querySelector("tbody").rows) {
    row.hidden = !row.textContent.toLowerCase().includes(text);
  }
}
function show() { sort(); filter(); }
document.addEventListener("click", (event) => {
  const head = event.target.closest("th");
  if (!head) return;
  up = head.cellIndex === by ? !up : true;
  by = head.cellIndex;
  sort();
});
document.addEventListener("input", (event) => { if (event.target.id === "filter") filter(); });
async function refresh() {
  const live = document.getElementById("live");
  if (!live.checked || document.hidden || location.protocol === "file:") return;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok) throw new Error(answer.status);
    const next = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const id of ["head", "body"]) {
      document.getElementById(id).replaceWith(next.getElementById(id));
    }
    show();
    document.getElementById("state").textContent = "";
  } catch (error) {
    document.getElementById("state").textContent = `not refreshed: ${error.message}`;
  }
}
setInterval(refresh, 5000);
show();

"use strict";
// Sorts, filters, counts ages on, and refreshes the page in place: what has not changed stays as it
// is, so scroll position, selection and folded groups do too. Says at once when no answer comes.
const REFRESH = 5000, PING = 1000, PATIENCE = 3000; // milliseconds
const ORDER = { failing: 0, unusable: 1, pending: 2, ok: 3 };
const UNITS = [["d", 86400], ["h", 3600], ["min", 60]];
const at = (id) => document.getElementById(id);
const epoch = () => Date.now() / 1000;
const collator = new Intl.Collator(undefined, { numeric: true });
const sorting = new WeakMap(); // of each table: the column, and whether it ascends
let lostAt = null, refreshing = false;
let offset = Number(document.documentElement.dataset.now) - epoch(); // of the server's clock

// What is selected: a range, or null. Asked for once before the page is changed, since the answer
// needs a layout, which each change makes stale.
function selection() {
  const selected = getSelection();
  return selected && !selected.isCollapsed ? selected.getRangeAt(0) : null;
}

// Sorting and filtering

function value(row, column) {
  const raw = row.cells[column].dataset.v ?? row.cells[column].textContent;
  if (column === 0) return row.dataset.key;
  if (raw in ORDER) return ORDER[raw];
  return raw === "" ? -Infinity : isNaN(raw) ? raw : Number(raw);
}
function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a < b ? -1 : a > b ? 1 : 0;
  return collator.compare(a, b);
}
function sort(table) {
  const { by, up } = sorting.get(table) ?? { by: 1, up: true };
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    if (column === by) head.setAttribute("aria-sort", up ? "ascending" : "descending");
    else head.removeAttribute("aria-sort");
  });
  const body = table.tBodies[0], rows = [...body.rows];
  const sorted = rows.map((row) => [value(row, by), row.dataset.key, row]);
  sorted.sort((a, b) => (up ? 1 : -1) * compare(a[0], b[0]) || compare(a[1], b[1]));
  if (sorted.every((entry, place) => entry[2] === rows[place])) return;
  if (selection()?.intersectsNode(body)) return; // to move a row would drop it
  body.append(...sorted.map((entry) => entry[2]));
}
function filter() {
  const text = at("filter").value.toLowerCase();
  for (const body of document.querySelectorAll("tbody")) {
    const group = body.closest("details");
    let shown = 0;
    for (const row of body.rows) {
      row.hidden = !`${group?.dataset.key} ${row.textContent}`.toLowerCase().includes(text);
      shown += !row.hidden;
    }
    if (!group) continue;
    group.hidden = !shown;
    if (text) group.open = true;
  }
}

// Ages

function duration(seconds) {
  seconds = Math.max(0, Math.floor(seconds));
  const unit = UNITS.find(([, length]) => seconds >= 2 * length);
  return unit ? `${Math.floor(seconds / unit[1])} ${unit[0]}` : `${seconds} s`;
}
// The ages that can be seen: to count those of 5,000 nodes on would take longer than a second.
function inView() {
  const rows = [...document.querySelectorAll("tbody tr")].filter((row) => {
    const { top, bottom, height } = row.getBoundingClientRect();
    return height && bottom > 0 && top < innerHeight;
  });
  const others = document.querySelectorAll("#head time, summary time");
  return [...others, ...rows.flatMap((row) => [...row.querySelectorAll("time")])];
}
function countOn() {
  const now = epoch() + offset, chosen = selection();
  for (const time of inView()) {
    const { at: from, until, after = "" } = time.dataset;
    const text = until ? duration(until - now) : duration(now - from) + after;
    if (time.textContent !== text && !chosen?.intersectsNode(time)) time.firstChild.data = text;
  }
}

// Refreshing in place

function patch(old, next, chosen) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== next.data && !chosen?.intersectsNode(old)) old.data = next.data;
    return;
  }
  for (const { name, value } of next.attributes) {
    if (old.getAttribute(name) !== value && name !== "open") old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    if (!next.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  }
  if (old.tagName === "TIME") return; // its text is counted on here
  if (old.tagName === "TBODY" || old.id === "groups") patchKeyed(old, next, chosen);
  else patchInOrder(old, next, chosen);
}
function patchInOrder(old, next, chosen) {
  const before = [...old.childNodes], after = [...next.childNodes];
  after.forEach((node, place) => {
    const known = before[place];
    if (!known) old.append(node);
    else if (known.nodeName === node.nodeName) patch(known, node, chosen);
    else known.replaceWith(node);
  });
  before.slice(after.length).forEach((node) => node.remove());
}
function patchKeyed(old, next, chosen) {
  const known = new Map([...old.children].map((node) => [node.dataset.key, node]));
  for (const node of [...next.children]) {
    const same = known.get(node.dataset.key);
    if (same) patch(same, node, chosen);
    else old.append(node);
    known.delete(node.dataset.key);
  }
  for (const node of known.values()) node.remove();
}
function show() {
  document.querySelectorAll("table").forEach(sort);
  filter();
  countOn();
}

// Talking to the server

async function get(path, accept) {
  const answer = await fetch(path, {
    headers: { Accept: accept }, cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
  if ([502, 503, 504].includes(answer.status)) throw new Error((await answer.text()).trim());
  return answer;
}
function lost(error) {
  lostAt ??= new Date();
  const time = lostAt.toLocaleTimeString("en-GB");
  // Of a connection that fails a browser says no more than TypeError.
  const silent = error.name === "TimeoutError" || error instanceof TypeError;
  const why = silent ? "the server does not answer" : error.message;
  at("lost").textContent = `Lost at ${time}: ${why}. The last state is shown; ages count on.`;
  at("lost").hidden = false;
  document.documentElement.classList.add("lost");
}
function regained() {
  lostAt = null;
  at("lost").hidden = true;
  document.documentElement.classList.remove("lost");
}
async function refresh() {
  if (refreshing || document.hidden || location.protocol === "file:") return;
  refreshing = true;
  try {
    const answer = await get(location.href, "text/html");
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    const next = new DOMParser().parseFromString(await answer.text(), "text/html");
    offset = Number(next.documentElement.dataset.now) - epoch();
    const chosen = selection();
    for (const id of ["head", "groups", "nodes"]) {
      patch(at(id), document.adoptNode(next.getElementById(id)), chosen);
    }
    show();
    regained();
  } catch (error) {
    lost(error);
  } finally {
    refreshing = false;
  }
}
async function ping() {
  if (document.hidden || location.protocol === "file:") return;
  try {
    await get("livez", "*/*");
    if (lostAt) await refresh();
  } catch (error) {
    lost(error);
  }
}

document.addEventListener("click", (event) => {
  const head = event.target.closest("thead th");
  if (!head) return;
  const table = head.closest("table"), before = sorting.get(table) ?? { by: 1, up: true };
  const by = head.cellIndex;
  sorting.set(table, { by, up: before.by === by ? !before.up : true });
  getSelection().removeAllRanges();
  sort(table);
});
document.addEventListener("input", (event) => { if (event.target.id === "filter") filter(); });
document.addEventListener("visibilitychange", ping);
document.addEventListener("scroll", countOn, { capture: true, passive: true });
setInterval(() => { if (at("live").checked) refresh(); }, REFRESH);
setInterval(ping, PING);
setInterval(countOn, 1000);
show();

// One document at a time, its fields worst first; everything by keyboard. Corrections live in `said` until they are saved.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const MARK = "\u25af", at = (id) => document.getElementById(id);
const said = new Map(); // "document/field" -> {value, verdict}
let shown = 0, unsaved = false;

const key = (number, field) => `${number}/${field}`;
const element = (name, of = {}, ...children) => { const made = Object.assign(document.createElement(name), of); made.append(...children); return made; };
const inputs = () => [...document.querySelectorAll("#fields input")];
const open = (number) => data.documents[number].fields.some((_, field) => !said.has(key(number, field)) && data.documents[number].fields[field].look);

function show(number, last = false) {
  shown = Math.max(0, Math.min(number, data.documents.length - 1));
  const one = data.documents[shown];
  at("document").textContent = one.name + (one.pages > 1 ? `, ${one.pages} pages` : "");
  at("hint").hidden = !one.hint; at("hint").textContent = one.hint || "";
  at("fields").replaceChildren(...one.fields.map(row));
  window.scrollTo(0, 0);
  const rows = inputs(), first = rows.findIndex((_, field) => !said.has(key(shown, field)));
  rows[last ? rows.length - 1 : Math.max(0, first)].focus();
  count();
}

function row(field, number) {
  const name = `field-${number}`, before = said.get(key(shown, number));
  const input = element("input", { id: name, value: before ? before.value : field.value, autocomplete: "off", spellcheck: false, placeholder: "nothing was read" });
  input.setAttribute("aria-describedby", `${name}-why`);
  input.addEventListener("focus", () => { look(number); mark(input, 0); });
  input.addEventListener("input", (event) => { if (event.inputType !== "deleteContentBackward") mark(input, input.selectionStart); });
  input.addEventListener("keydown", (event) => press(event, input, number));
  const sure = field.confidence === null ? "" : ` · ${Math.floor(100 * field.confidence)} %`;
  const line = element("li", {}, element("div", { className: "top" }, element("label", { htmlFor: name, textContent: field.title }), element("span", { className: `status ${field.look && field.status === "read" ? "partly" : field.status}`, textContent: field.status + sure })));
  if (field.crop) line.append(element("img", { className: "crop", src: field.crop, alt: `where ${field.title} stands` }));
  line.append(input, element("p", { className: "why", id: `${name}-why`, textContent: field.reasons.join("; ") }));
  settle(line, before);
  return line;
}

// The next mark at or behind `from` is selected, so that the next key replaces it.
function mark(input, from) {
  let place = input.value.indexOf(MARK, from);
  if (place < 0) place = input.value.indexOf(MARK);
  if (place >= 0) input.setSelectionRange(place, place + 1);
}

function look(number) {
  const one = data.documents[shown], field = one.fields[number], page = one.pictures[field.page] || one.pictures[one.first];
  [...at("fields").children].forEach((line, index) => line.classList.toggle("now", index === number));
  at("fields").children[number].scrollIntoView({ block: "nearest" });
  if (!page) { at("picture").replaceChildren(element("p", { className: "none", textContent: "There is no picture of this page." })); return; }
  const drawn = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  drawn.setAttribute("viewBox", `0 0 ${page.size[0]} ${page.size[1]}`); drawn.setAttribute("preserveAspectRatio", "xMinYMin meet");
  if (field.box) {
    const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect"), [x0, y0, x1, y1] = field.box;
    for (const [name, value] of [["x", x0], ["y", y0], ["width", x1 - x0], ["height", y1 - y0]]) rect.setAttribute(name, value);
    drawn.append(rect);
  }
  at("picture").replaceChildren(element("img", { src: page.source, alt: `${one.name}, page ${field.page || 1}` }), drawn);
}

function press(event, input, number) {
  const field = data.documents[shown].fields[number];
  const verdict = event.altKey && { a: "absent", n: "illegible" }[event.key.toLowerCase()];
  if (event.key === "Enter") say(number, input.value === field.value ? "confirmed" : "corrected", input.value);
  else if (verdict) { input.value = ""; say(number, verdict, ""); }
  else if (event.key === "Escape") { input.value = field.value; said.delete(key(shown, number)); settle(at("fields").children[number]); count(); mark(input, 0); }
  else if (event.key === "ArrowDown") move(number + 1);
  else if (event.key === "ArrowUp") move(number - 1);
  else if (event.key === "PageDown") show(shown + 1);
  else if (event.key === "PageUp") show(shown - 1);
  else return;
  event.preventDefault();
}

function say(number, verdict, value) {
  said.set(key(shown, number), { verdict, value });
  unsaved = true;
  settle(at("fields").children[number], said.get(key(shown, number)));
  count();
  const next = data.documents[shown].fields.findIndex((field, index) => index > number && !said.has(key(shown, index)) && field.look);
  if (next >= 0) inputs()[next].focus();
  else if (shown + 1 < data.documents.length) show(shown + 1);
}

function move(number) {
  const rows = inputs();
  if (number < 0) { if (shown > 0) show(shown - 1, true); }
  else if (number >= rows.length) { if (shown + 1 < data.documents.length) show(shown + 1); }
  else rows[number].focus();
}

function settle(line, before) {
  line.classList.toggle("done", Boolean(before));
  const status = line.querySelector(".status");
  status.dataset.was ??= status.textContent; status.dataset.kind ??= status.className;
  status.textContent = before ? before.verdict : status.dataset.was;
  status.className = before ? "status done" : status.dataset.kind;
}

function count() {
  const left = data.documents.filter((_, number) => open(number)).length;
  at("place").textContent = `document ${shown + 1} of ${data.documents.length}, ${left} still open, ${said.size} fields settled`;
}

function lines() {
  const places = ([name]) => name.split("/").map(Number);
  return [...said].sort((a, b) => places(a)[0] - places(b)[0] || places(a)[1] - places(b)[1]).map(([name, { verdict, value }]) => {
    const [number, place] = places([name]), one = data.documents[number], field = one.fields[place];
    return JSON.stringify({ schema: data.schema, document: one.name, page: field.page, field: field.name, verdict, value, read: field.value, status: field.status });
  });
}

function save() {
  const link = element("a", { download: "corrections.jsonl", href: URL.createObjectURL(new Blob([lines().map((line) => line + "\n").join("")], { type: "application/jsonl" })) });
  link.click();
  unsaved = false;
}

if (data.documents.length) {
  at("save").addEventListener("click", save);
  document.addEventListener("keydown", (event) => { if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "s") { event.preventDefault(); save(); } });
  window.addEventListener("beforeunload", (event) => { if (unsaved) event.preventDefault(); });
  show(0);
} else at("save").hidden = true;

// Charts that a mouse, a finger and a keyboard can point at; from a mark to its samples; and a word where a table runs off.
// Without a script a mark keeps its title, which a mouse alone can read.
"use strict";
(() => {
  const tip = document.getElementById("tip");
  const said = document.createElement("span"), go = document.createElement("button");
  go.type = "button";
  go.textContent = "its samples ›";
  tip.append(said, go);
  const REACH = { mouse: 10, pen: 16, touch: 26 }; // pixels between a pointer and the mark that it means
  const gallery = document.getElementById("samples"); // private data have none
  let now = null; // the mark that is pointed at
  let shown = null; // what the tip says, beside which element

  for (const chart of document.querySelectorAll("[data-chart]"))
    for (const mark of chart.querySelectorAll(".mark, .curve")) {
      const title = mark.querySelector(":scope > title");
      mark.dataset.tip = title ? title.textContent : mark.title || "";
      if (title) title.remove();
      else mark.removeAttribute("title");
    }

  const hide = () => {
    if (now) now.classList.remove("on");
    now = shown = null;
    tip.hidden = true;
    for (const guide of document.querySelectorAll(".guide.on")) guide.classList.remove("on");
  };
  const put = (text, element, to) => {
    shown = [text, element, to];
    const box = element.getBoundingClientRect();
    said.textContent = text;
    go.hidden = !to || !gallery;
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect();
    const left = Math.min(Math.max((box.left + box.right - width) / 2, 6), document.documentElement.clientWidth - width - 6);
    const above = box.top - height - 8;
    tip.style.left = `${left}px`;
    tip.style.top = `${above >= 6 ? above : box.bottom + 8}px`;
  };
  const point = (mark) => {
    if (now !== mark) hide();
    now = mark;
    mark.classList.add("on");
    put(mark.dataset.tip, mark.querySelector("circle, .tick-mark") || mark, mark.dataset.to);
  };
  const open = (mark) => {
    if (!mark || !mark.dataset.to || !gallery) return;
    const to = mark.dataset.to;
    hide();
    document.dispatchEvent(new CustomEvent("samples", { detail: to }));
  };

  // --- marks: the one nearest to the pointer ---
  const marks = (chart) => [...chart.querySelectorAll(".mark")];
  const nearest = (chart, x, y, reach) => {
    let best = null, least = reach;
    for (const mark of marks(chart)) {
      const box = (mark.querySelector("circle, .tick-mark") || mark).getBoundingClientRect();
      const away = Math.hypot(Math.max(box.left - x, 0, x - box.right), Math.max(box.top - y, 0, y - box.bottom));
      if (away <= least) [best, least] = [mark, away];
    }
    return best;
  };

  // --- curves: every run's value at the place of the pointer ---
  const read = new WeakMap();
  const curves = (chart) => {
    if (!read.has(chart)) read.set(chart, [...chart.querySelectorAll(".curve")].map((curve) => {
      const values = (curve.dataset.points || "").split(" ").map((pair) => pair.split(","));
      const places = [...((curve.querySelector(".line") || { getAttribute: () => "" }).getAttribute("d") || "").matchAll(/[ML]([\d.-]+) /g)].map((found) => Number(found[1]));
      return { name: curve.dataset.tip, values, places };
    }).filter((curve) => curve.places.length));
    return read.get(chart);
  };
  const across = (chart, place) => {
    const shown = curves(chart);
    if (!shown.length) return false;
    const near = (places) => places.reduce((best, at, k) => (Math.abs(at - place) < Math.abs(places[best] - place) ? k : best), 0);
    const found = shown.map((curve) => [curve, near(curve.places)]);
    const [first, k] = found.reduce((one, other) => (Math.abs(other[0].places[other[1]] - place) < Math.abs(one[0].places[one[1]] - place) ? other : one));
    hide();
    const guide = chart.querySelector(".guide");
    guide.setAttribute("x1", first.places[k]);
    guide.setAttribute("x2", first.places[k]);
    guide.classList.add("on");
    chart.dataset.place = first.places[k];
    put(`at ${first.values[k][0]}\n${found.map(([curve, at]) => `${curve.name}: ${curve.values[at][1]}`).join("\n")}`, guide);
    return true;
  };
  const along = (chart, x) => {
    const box = chart.getBoundingClientRect();
    return ((x - box.left) * chart.viewBox.baseVal.width) / box.width;
  };

  // --- mouse and finger ---
  const charts = (event) => (event.target.closest ? event.target.closest("[data-chart]") : null);
  document.addEventListener("pointermove", (event) => {
    if (event.pointerType === "touch" || event.target.closest("#tip")) return;
    const chart = charts(event);
    if (!chart) { if (!tip.hidden && !tip.matches(":hover") && !document.activeElement.matches("[data-chart]")) hide(); return; }
    const mark = nearest(chart, event.clientX, event.clientY, REACH.mouse);
    chart.style.cursor = mark && mark.dataset.to && gallery ? "pointer" : "";
    if (mark) point(mark);
    else if (!(chart.querySelector(".curve") && across(chart, along(chart, event.clientX)))) hide();
  });
  document.addEventListener("click", (event) => {
    if (event.target === go) { open(now); return; }
    const chart = charts(event);
    if (!chart) { if (!event.target.closest("#tip")) hide(); return; }
    const kind = event.pointerType || "mouse";
    const mark = nearest(chart, event.clientX, event.clientY, REACH[kind] || REACH.touch);
    if (!mark) { if (!(chart.querySelector(".curve") && across(chart, along(chart, event.clientX)))) hide(); return; }
    point(mark);
    if (kind === "mouse") open(mark); // a finger first sees what it has hit, and then has a button
  });
  // A keyboard’s mark stays while the page moves under it; a pointer’s is gone.
  document.addEventListener("scroll", () => (shown && document.activeElement.matches("[data-chart]") ? put(...shown) : hide()), { passive: true });

  // --- keyboard: one stop a chart, arrows within ---
  document.addEventListener("keydown", (event) => {
    const chart = document.activeElement;
    if (event.ctrlKey || event.metaKey || event.altKey || !chart || !chart.matches("[data-chart]")) return;
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") hide();
    else if (event.key === "Enter" && now) open(now);
    else if (by) {
      const list = marks(chart);
      if (list.length) point(list[(Math.max(list.indexOf(now), by > 0 ? -1 : 0) + by + list.length) % list.length]);
      else if (curves(chart).length) {
        const { places } = curves(chart)[0];
        const at = places.indexOf(Number(chart.dataset.place));
        across(chart, places[Math.min(Math.max(at < 0 ? 0 : at + by, 0), places.length - 1)]);
      }
    } else return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }, true);
  document.addEventListener("focusout", (event) => { if (event.target.matches("[data-chart]") && !tip.contains(event.relatedTarget)) hide(); });

  // --- tables that are wider than the page ---
  const measure = () => { for (const box of document.querySelectorAll(".scroll")) box.classList.toggle("runs-off", box.scrollWidth > box.clientWidth + 1); };
  addEventListener("resize", measure);
  document.addEventListener("toggle", measure, true);
  measure();
})();

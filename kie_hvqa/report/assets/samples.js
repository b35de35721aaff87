// Draws one sample: its picture with the ledger over it, what was printed and what each run read. Text nodes only:
// nothing that a model wrote is ever parsed as HTML.
"use strict";
const Samples = (() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const LEGIBILITY = { c: "clear", p: "partial", h: "hidden" };
  const SIGN = { marked: "·", over_refused: "·", dropped: "–", space: "" };
  const WIDEST = 18; // slots in one line of a strip
  const SVG = "http://www.w3.org/2000/svg";

  // h("td.num", {title: "…"}, "text", child, …)
  const h = (what, attributes, ...children) => {
    const [tag, ...classes] = what.split(".");
    const made = document.createElement(tag);
    if (classes.length) made.className = classes.join(" ");
    for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
    made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
    return made;
  };

  const picture = (sample) => {
    if (!sample.z) return h("div.no-picture", {}, sample.x || "no picture");
    const [width, height] = sample.z;
    const frame = h("div.picture", { style: `aspect-ratio:${width}/${height};max-width:calc(420px * ${width / height})` });
    const image = h("img", { alt: `damaged image of ${sample.f}`, loading: "lazy" });
    image.addEventListener("error", () => frame.replaceWith(h("div.no-picture", {}, "This picture is not in the file, and the dataset is not where it was.")));
    if (sample.p !== undefined) {
      image.src = data.pictures[sample.p];
      image.style.cssText = "inset:0;width:100%;height:100%";
    } else { // the part of a page that lies beside the report
      const [x, y, pageWidth, pageHeight] = sample.g;
      image.src = sample.u;
      image.style.cssText = `left:${(-100 * x) / width}%;top:${(-100 * y) / height}%;width:${(100 * pageWidth) / width}%;height:${(100 * pageHeight) / height}%`;
    }
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    [...(sample.l || "")].forEach((letter, k) => {
      if (letter === "_") return;
      const [x0, y0, x1, y1] = sample.b.slice(4 * k, 4 * k + 4);
      const rect = document.createElementNS(SVG, "rect");
      for (const [name, value] of Object.entries({ class: LEGIBILITY[letter], x: x0, y: y0, width: Math.max(x1 - x0, 0), height: Math.max(y1 - y0, 0), "data-slot": k })) rect.setAttribute(name, value);
      svg.append(rect);
    });
    frame.append(image, svg);
    return frame;
  };

  const slotTitle = (sample, k) => {
    const rivals = (sample.r || {})[k];
    return `${LEGIBILITY[sample.l[k]]}, evidence ${(sample.e[k] / 100).toFixed(2)}${rivals ? `, could be ${[...rivals].join(" ")}` : ""}`;
  };
  const printed = (sample, chars, k) => sample.l[k] === "_" ? h("td.slot.space") : h(`td.slot.${LEGIBILITY[sample.l[k]]}`, { title: slotTitle(sample, k), "data-slot": k }, chars[k]);
  const rival = (sample, k) => {
    const found = [...((sample.r || {})[k] || "")];
    return h("td.slot.rival", found.length ? { title: `could be ${found.join(" ")}` } : {}, found.slice(0, 2).join(""));
  };
  const cell = (symbol, code, k, tag = "td") => {
    const [word, title] = data.outcomes[code];
    return h(`${tag}.slot.v-${word}`, { title, ...(k === null ? {} : { "data-slot": k }) }, word in SIGN ? SIGN[word] : symbol);
  };

  // What was printed, what it could be as well, and what each run read, slot under slot; a long field goes on in further tables.
  const strips = (sample) => {
    const readings = sample.R.map(([symbols, outcomes, inserted, , label]) => ({ symbols: [...symbols], outcomes, inserted: [...inserted], label }));
    const runs = (of) => readings.map((reading, run) => h("tr", {}, h("th", { title: data.runs[run] }, data.runs[run]), of(reading, run)));
    if (!sample.l) {
      const truth = sample.l === undefined ? `no ledger; the answer is ${sample.a}` : "not in this document";
      const said = (reading) => h("td.said", {}, reading.inserted.length ? `read ${reading.inserted.join("")}` : reading.label || "refused");
      return [h("div.strip", {}, h("table", {}, h("tr", {}, h("th", {}, "printed"), h("td.said", {}, truth)), runs(said)))];
    }
    const chars = [...sample.v];
    const pieces = Math.max(1, Math.ceil(chars.length / WIDEST));
    const step = Math.ceil(chars.length / pieces);
    return Array.from({ length: pieces }, (_, piece) => {
      const slots = chars.map((_, k) => k).slice(piece * step, (piece + 1) * step);
      const last = piece === pieces - 1;
      const rivals = slots.some((k) => (sample.r || {})[k]) ? h("tr", {}, h("th", {}, "could be"), slots.map((k) => rival(sample, k))) : null;
      const read = (reading) => [...slots.map((k) => cell(reading.symbols[k], reading.outcomes[k], k)), ...(last ? reading.inserted.map((symbol) => cell(symbol, "n", null)) : [])];
      return h("div.strip", {}, h("table", {}, h("tr", {}, h("th", {}, "printed"), slots.map((k) => printed(sample, chars, k))), rivals, runs(read)));
    });
  };

  const verdicts = (sample) => h("ul.says", {}, sample.R.map(([, , , , label, confidence], run) =>
    h("li", {}, h(`i.dot.r${run % 8}`, { "aria-hidden": "true" }), `${data.runs[run]}: ${label || "no ledger"}${confidence === null ? "" : ` · ${confidence[1]}`}`)));
  // "3 × Marta Quist, 1 × Mar·a Quist": what several draws of the same question read.
  const draws = (drawn) => {
    const total = drawn.reduce((sum, [, count]) => sum + count, 0);
    return h("p.small.drawn", {}, `${total} answers drawn: ${drawn.map(([final, count]) => `${count} × ${final === null ? "unparsable" : final || "refused"}`).join(", ")}`);
  };
  const written = (sample) => sample.R.map(([, , , , , , text, error, drawn], run) => h("div", {}, h("small", {}, data.runs[run]),
    error ? h("p.small.failed", {}, `The reader failed: ${error}`) : h("pre", {}, text === null ? "(no answer)" : text), drawn && drawn.length ? draws(drawn) : null));
  const where = (sample) => [sample.t, sample.m ? sample.m.replaceAll("_", " ") : null, sample.s === undefined ? null : `severity ${sample.s}`, sample.k, sample.j ? data.strata[sample.j] : null, (sample.o || []).join(", ") || null, sample.w ? `${sample.w[1]} twin of pair ${sample.w[0]}` : null, sample.i].filter(Boolean).join(" · ");

  const card = (sample) => h("article.sample", { tabindex: "0", "data-id": sample.i, "aria-label": `${sample.f}, ${sample.i}` }, picture(sample), h("div.body", {},
    h("button.look", { type: "button" }, "Look closely"), h("p.where", {}, where(sample)), h("p.question", {}, sample.q), strips(sample), verdicts(sample),
    h("details", {}, h("summary", {}, "What was written"), written(sample))));

  const slotTable = (sample) => {
    if (!sample.l) return strips(sample);
    const chars = [...sample.v];
    const symbols = sample.R.map((reading) => [...reading[0]]);
    const head = h("tr", {}, ["slot", "printed", "legibility", "evidence", "could be", ...data.runs].map((name) => h("th", { scope: "col" }, name)));
    const rows = chars.map((char, k) => sample.l[k] === "_" ? null : h("tr", { "data-slot": k }, h("th", { scope: "row" }, String(k + 1)),
      h("td", {}, h(`b.slot.${LEGIBILITY[sample.l[k]]}`, {}, char)), h("td", {}, LEGIBILITY[sample.l[k]]),
      h("td.num", {}, h("span.meter", { "aria-hidden": "true" }, h("i", { style: `width:${sample.e[k]}%` })), (sample.e[k] / 100).toFixed(2)),
      h("td", {}, [...((sample.r || {})[k] || "")].join(" ") || "–"),
      sample.R.map((reading, run) => h("td", {}, cell(symbols[run][k], reading[1][k], null, "b"), h("span.word", {}, data.outcomes[reading[1][k]][0].replace("right", "").replace("_", "-"))))));
    const inserted = sample.R.map((reading, run) => reading[2] ? h("p.small", {}, `${data.runs[run]} also inserted ${reading[2]}`) : null);
    return [h("div.scroll", {}, h("table.slots", {}, h("thead", {}, head), h("tbody", {}, rows))), inserted];
  };

  const detail = (sample) => {
    const shown = picture(sample);
    if (sample.z && sample.z[0] <= 320) shown.classList.add("sharp"); // so small that the pixels themselves are the point
    return [h("div.beside", {}, h("div.shown", {}, shown, verdicts(sample)), h("div.read", {}, slotTable(sample))), h("h4", {}, "What was written"), written(sample)].flat();
  };

  return { data, h, card, detail, where };
})();

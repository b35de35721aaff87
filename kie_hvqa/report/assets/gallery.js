// The gallery: search, filters, order, pages, keyboard and the close look. A page of samples is in the document at a time.
"use strict";
(() => {
  const { data, h, card, detail, where } = Samples;
  const PAGE = 24;
  const at = (id) => document.getElementById(id);
  const { samples, kinds, runs } = data;
  const state = { kind: "all", query: "", page: 0 };
  let found = [];

  // --- what can be chosen ---
  const values = (of) => [...new Set(samples.flatMap(of))].filter((value) => value !== undefined);
  const choice = (id, label, options) => {
    if (options.length < 2) return null;
    const select = h("select", { id }, options.map(([value, text]) => h("option", { value }, text)));
    select.addEventListener("change", () => { state.page = 0; apply(); });
    return h("label", {}, `${label} `, select);
  };
  const any = (list) => (list.length > 1 ? [["any", "any"], ...list.map((value) => [String(value), String(value)])] : []);
  const named = (names, there) => [["any", "any"], ...Object.entries(names).filter(([key]) => there.includes(key))];
  const sure = samples.some((sample) => sample.R.some((reading) => reading[5] !== null));
  at("selects").append(...[
    choice("run", "by", runs.length > 1 ? [["any", "any run"], ...runs.map((name, run) => [String(run), name])] : []),
    choice("severity", "severity", any(values((s) => [s.s]).sort((a, b) => a - b))),
    choice("type", "document", any(values((s) => [s.t]).sort())),
    choice("template", "template", any(values((s) => [s.m || undefined]).sort())),
    choice("field", "field", any(values((s) => [s.f]).sort())),
    choice("question", "question", any(values((s) => [s.k]).sort())),
    choice("stratum", "stratum", named(data.strata, values((s) => [s.j ?? undefined]))),
    choice("legibility", "with slots", named({ c: "clear", p: "partial", h: "hidden" }, values((s) => [...(s.l || "")]))),
    choice("agreement", "runs", runs.length > 1 ? [["any", "any"], ["apart", "disagree"], ["same", "agree"]] : []),
    choice("operator", "operator", any(values((s) => s.o || []).sort())),
    choice("twin", "twin", samples.some((s) => s.w) ? [["any", "any"], ["plausible", "plausible"], ["implausible", "implausible"]] : []),
    choice("sort", "order", [["varied", "varied"], ["data", "as in the data"], ["worst", "most errors"], ...(runs.length > 1 ? [["apart", "runs apart"]] : []), ...(sure ? [["unsure", "least sure"], ["sure", "surest"]] : []), ["severe", "most severe"], ["mild", "least severe"]]),
  ].filter(Boolean));
  const chosen = (id, otherwise = "any") => (at(id) ? at(id).value : otherwise);
  for (const [kind, text] of [["all", "All"], ...kinds]) {
    const button = h("button", { type: "button", "data-kind": kind }, text, h("span"));
    button.addEventListener("click", () => { state.kind = kind; state.page = 0; apply(); });
    at("chips").append(button);
  }

  // --- which samples fit ---
  const texts = samples.map((s) => `${s.i}\n${s.d}\n${s.f}\n${s.q}\n${s.v || s.a || ""}\n${where(s)}\n${s.R.map((reading) => `${reading[0]}\n${reading[6] || ""}\n${reading[7] || ""}`).join("\n")}`.toLowerCase());
  const own = (sample, run) => (run === "any" ? sample.R : [sample.R[Number(run)]]);
  const has = (sample, kind, run) => kind === "all" || own(sample, run).some((reading) => reading[3].some((number) => kinds[number][0] === kind));
  const agree = (sample) => sample.R.every((reading) => reading[0] === sample.R[0][0] && reading[1] === sample.R[0][1] && reading[2] === sample.R[0][2]);
  const fits = (sample, index, want) =>
    (want.template === "any" || sample.m === want.template) && (want.field === "any" || sample.f === want.field) &&
    (want.stratum === "any" || sample.j === want.stratum) && (want.legibility === "any" || (sample.l || "").includes(want.legibility)) &&
    (want.agreement === "any" || agree(sample) === (want.agreement === "same")) &&
    (want.severity === "any" || String(sample.s) === want.severity) && (want.type === "any" || sample.t === want.type) &&
    (want.question === "any" || sample.k === want.question) && (want.operator === "any" || (sample.o || []).includes(want.operator)) &&
    (want.twin === "any" || (sample.w && sample.w[1] === want.twin)) && (!state.query || texts[index].includes(state.query));
  const wrong = (reading) => [...reading[1]].filter((code) => data.outcomes[code][2]).length + reading[2].length + (reading[3].length && !reading[1] ? 1 : 0);
  const keys = {
    data: (s) => s.n,
    worst: (s, run) => -own(s, run).reduce((sum, reading) => sum + wrong(reading), 0),
    apart: (s) => -(Math.max(...s.R.map(wrong)) - Math.min(...s.R.map(wrong))),
    sure: (s, run) => -Math.max(...own(s, run).map((reading) => (reading[5] ? reading[5][0] : -1))),
    unsure: (s, run) => Math.min(...own(s, run).map((reading) => (reading[5] ? reading[5][0] : 2))),
    severe: (s) => -(s.s ?? -1),
    mild: (s) => s.s ?? 99,
  };

  const apply = () => {
    const want = Object.fromEntries(["severity", "type", "template", "field", "question", "stratum", "legibility", "agreement", "operator", "twin"].map((id) => [id, chosen(id)]));
    const run = chosen("run");
    const elsewhere = samples.filter((sample, index) => fits(sample, index, want));
    found = elsewhere.filter((sample) => has(sample, state.kind, run));
    const key = keys[chosen("sort", "varied")];
    if (key) found = found.map((s) => [key(s, run), s]).sort((a, b) => a[0] - b[0] || a[1].n - b[1].n).map(([, s]) => s);
    for (const button of at("chips").children) {
      button.setAttribute("aria-pressed", String(button.dataset.kind === state.kind));
      button.querySelector("span").textContent = elsewhere.filter((sample) => has(sample, button.dataset.kind, run)).length.toLocaleString("en");
    }
    draw();
  };

  const draw = () => {
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    state.page = Math.min(Math.max(state.page, 0), pages - 1);
    at("samples").replaceChildren(...found.slice(state.page * PAGE, (state.page + 1) * PAGE).map(card));
    at("shown").textContent = `${found.length.toLocaleString("en")} of ${samples.length.toLocaleString("en")} samples`;
    at("page").textContent = `${state.page + 1} / ${pages}`;
    at("previous").disabled = state.page === 0;
    at("next").disabled = state.page >= pages - 1;
    at("empty").hidden = found.length > 0;
    at("all").hidden = found.length === samples.length;
  };
  const turn = (step) => {
    const before = state.page;
    state.page += step;
    draw();
    if (state.page !== before) at("filters").scrollIntoView({ block: "start" });
    return state.page !== before;
  };

  // --- the close look ---
  let open = -1;
  const look = (index) => {
    if (index < 0 || index >= found.length) return;
    open = index;
    const sample = found[index];
    const buttons = [["Previous sample", "‹", () => look(open - 1)], ["Next sample", "›", () => look(open + 1)], ["Close", "×", () => at("detail").close()]].map(([label, sign, act]) => {
      const button = h("button", { type: "button", "aria-label": label, title: label }, sign);
      button.addEventListener("click", act);
      return button;
    });
    buttons[0].disabled = index === 0;
    buttons[1].disabled = index === found.length - 1;
    at("detail").replaceChildren(h("div.top", {}, h("div", {}, h("h3", { id: "detail-title" }, sample.q), h("p.where", {}, where(sample))), h("div.buttons", {}, buttons)), ...detail(sample).filter(Boolean));
    if (!at("detail").open) at("detail").showModal();
    at("detail").scrollTop = 0;
  };
  at("detail").addEventListener("close", () => {
    state.page = Math.floor(open / PAGE);
    draw();
    const back = at("samples").children[open % PAGE];
    if (back) back.focus({ preventScroll: false });
  });

  // --- slots and boxes point at each other ---
  const point = (event) => {
    const group = event.target.closest && event.target.closest(".sample, #detail");
    if (!group) return;
    for (const one of group.querySelectorAll(".on")) one.classList.remove("on");
    const slot = event.target.closest("[data-slot]");
    if (!slot || event.type === "mouseout") return;
    for (const one of group.querySelectorAll(`[data-slot="${slot.dataset.slot}"]`)) one.classList.add("on");
  };
  document.addEventListener("mouseover", point);
  document.addEventListener("mouseout", point);

  // --- mouse and keyboard ---
  const cards = () => [...at("samples").children];
  at("samples").addEventListener("click", (event) => {
    if (!event.target.closest(".picture, .look")) return;
    look(state.page * PAGE + cards().indexOf(event.target.closest(".sample")));
  });
  at("previous").addEventListener("click", () => turn(-1));
  at("next").addEventListener("click", () => turn(1));
  at("search").addEventListener("input", () => { state.query = at("search").value.trim().toLowerCase(); state.page = 0; apply(); });
  at("filters").addEventListener("submit", (event) => event.preventDefault());
  at("boxes").addEventListener("change", () => document.body.classList.toggle("plain", !at("boxes").checked));
  at("help-button").addEventListener("click", () => at("help").showModal());
  const clear = () => {
    Object.assign(state, { kind: "all", query: "", page: 0 });
    at("search").value = "";
    for (const select of at("selects").querySelectorAll("select")) select.selectedIndex = 0;
  };
  for (const id of ["reset", "all"]) at(id).addEventListener("click", () => { clear(); apply(); });
  // A mark of a chart asks for the samples behind it: "run=1&severity=3&kind=invented".
  document.addEventListener("samples", (event) => {
    clear();
    for (const [name, value] of new URLSearchParams(event.detail)) {
      if (name === "kind") state.kind = kinds.some(([kind]) => kind === value) ? value : "all";
      else if (at(name) && [...at(name).options].some((option) => option.value === value)) at(name).value = value;
    }
    apply();
    at("filters").scrollIntoView({ block: "start" });
    if (at("samples").firstChild) at("samples").firstChild.focus({ preventScroll: true });
  });
  const step = (by) => {
    const list = cards();
    const now = list.indexOf(document.activeElement && document.activeElement.closest(".sample"));
    let next = now < 0 ? (by > 0 ? 0 : list.length - 1) : now + by;
    if (next >= list.length) next = turn(1) ? 0 : list.length - 1;
    else if (next < 0) next = turn(-1) ? cards().length - 1 : 0;
    const target = cards()[next];
    if (target) { target.focus(); target.scrollIntoView({ block: "nearest" }); }
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || at("help").open) return;
    if (at("detail").open) {
      if (event.key === "ArrowRight" || event.key === "j") look(open + 1);
      else if (event.key === "ArrowLeft" || event.key === "k") look(open - 1);
      return;
    }
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (typing) { if (event.key === "Escape") event.target.blur(); return; }
    const inside = event.target.closest(".sample");
    const act = {
      "/": () => at("search").focus(),
      "?": () => at("help").showModal(),
      b: () => at("boxes").click(),
      j: () => step(1),
      k: () => step(-1),
      Enter: inside && event.target === inside ? () => look(state.page * PAGE + cards().indexOf(inside)) : null,
      ArrowRight: inside ? () => turn(1) : null,
      ArrowLeft: inside ? () => turn(-1) : null,
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  apply();
})();

// Filters of the gallery. Every sample is in the page already; this only hides and shows.
"use strict";
(() => {
  const samples = [...document.querySelectorAll(".sample")];
  const buttons = [...document.querySelectorAll("[data-kind]")];
  const run = document.getElementById("run");
  const severity = document.getElementById("severity");
  const type = document.getElementById("type");
  const shown = document.getElementById("shown");
  const empty = document.getElementById("empty");
  let kind = "all";

  // data-errors holds words like "0:invented 2:misread": run number, error kind.
  const has = (sample, wanted) => {
    if (wanted === "all") return true;
    const words = sample.dataset.errors.split(" ");
    return run.value === "any" ? words.some((word) => word.endsWith(":" + wanted)) : words.includes(run.value + ":" + wanted);
  };
  const elsewhere = (sample) =>
    (severity.value === "any" || sample.dataset.severity === severity.value) &&
    (type.value === "any" || sample.dataset.type === type.value);

  const apply = () => {
    let count = 0;
    for (const sample of samples) {
      sample.hidden = !(elsewhere(sample) && has(sample, kind));
      if (!sample.hidden) count += 1;
    }
    for (const button of buttons) {
      button.setAttribute("aria-pressed", String(button.dataset.kind === kind));
      button.querySelector("span").textContent = samples.filter((s) => elsewhere(s) && has(s, button.dataset.kind)).length;
    }
    shown.textContent = `${count} of ${samples.length} samples`;
    empty.hidden = count > 0;
  };

  for (const button of buttons) button.addEventListener("click", () => { kind = button.dataset.kind; apply(); });
  for (const select of [run, severity, type]) select.addEventListener("change", apply);
  document.getElementById("boxes").addEventListener("change", (event) => {
    document.body.classList.toggle("plain", !event.target.checked);
  });
  apply();
})();

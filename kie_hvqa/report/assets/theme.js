// Light, dark, or what the system says: a button, and memory where the browser grants a file any.
"use strict";
(() => {
  const themes = ["auto", "light", "dark"];
  const button = document.getElementById("theme");
  const stored = () => { try { return localStorage.getItem("kie-hvqa-theme"); } catch { return null; } };
  const show = (theme) => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
    button.dataset.now = theme;
    try { localStorage.setItem("kie-hvqa-theme", theme); } catch { /* a file may have no storage */ }
  };
  button.hidden = false;
  button.addEventListener("click", () => show(themes[(themes.indexOf(button.dataset.now) + 1) % themes.length]));
  show(themes.includes(stored()) ? stored() : "auto");
})();

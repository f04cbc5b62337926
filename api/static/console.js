// Keys for who prefers them, each also a button or a link; they can be turned off. And a
// look at the page while a repair runs.
(() => {
  "use strict";

  const LOOK_AGAIN_MS = 2000;
  const MOST_LOOKS = 60;
  const OFF = "holdfast-keys-off";

  const isTyping = (element) =>
    element instanceof HTMLElement && element.matches("input, select, textarea");

  const alongList = (step) => {
    const lines = [...document.querySelectorAll(".lines a")];
    const here = lines.indexOf(document.activeElement);
    lines[Math.min(Math.max(here + step, 0), lines.length - 1)]?.focus();
  };

  const toTarget = (key) => {
    const target = document.querySelector(`[data-key="${CSS.escape(key)}"]`);
    if (!target) return false;
    const fold = target.closest("details");
    if (fold) fold.open = true;
    // A key leads to the button and never presses it: a slip must not move anything.
    target.focus();
    return true;
  };

  const follow = (key) => {
    if (key !== "j" && key !== "k") return toTarget(key);
    alongList(key === "j" ? 1 : -1);
    return true;
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (window.localStorage.getItem(OFF)) return;
    if (follow(event.key)) event.preventDefault();
  });

  const keys = document.querySelector("[data-keys]");
  const show = () => {
    keys.dataset.on ??= keys.textContent;
    keys.textContent = window.localStorage.getItem(OFF) ? keys.dataset.off : keys.dataset.on;
  };
  keys?.addEventListener("click", () => {
    if (window.localStorage.getItem(OFF)) window.localStorage.removeItem(OFF);
    else window.localStorage.setItem(OFF, "1");
    show();
  });
  if (keys) show();

  let looks = 0;
  const look = () => {
    looks += 1;
    // Not while somebody writes: a reload would take their words away.
    const fields = document.querySelectorAll("main textarea, main input[type=text]");
    const isBusy = [...fields].some((field) => field.value !== field.defaultValue);
    if (!isBusy) window.location.reload();
    else if (looks < MOST_LOOKS) window.setTimeout(look, LOOK_AGAIN_MS);
  };
  const main = document.getElementById("main");
  if (main.hasAttribute("data-look")) window.setTimeout(look, LOOK_AGAIN_MS);
})();

// A pressed button looks pressed, and a second press sends nothing. The server would
// find the first press anyway; this only spares the reader the doubt.
(() => {
  "use strict";

  // A line can lose the press. After this long another one is let through: the server
  // finds the first, if it came.
  const LOST_AFTER = 15000;

  const busy = (form, isBusy) => {
    for (const button of form.querySelectorAll("button[data-busy]")) {
      button.dataset.rest ??= button.textContent;
      button.textContent = isBusy ? button.dataset.busy : button.dataset.rest;
      button.setAttribute("aria-disabled", String(isBusy));
    }
    form.dataset.sent = isBusy ? String(Date.now()) : "";
  };

  const isSent = (form) => Date.now() - Number(form.dataset.sent || 0) < LOST_AFTER;

  document.addEventListener("submit", (event) => {
    const form = event.target;
    // Forms that gather a card first are marked by their own script.
    if (!form.matches("form[data-once]") || form.dataset.stripeKey) return;
    if (isSent(form)) event.preventDefault();
    else busy(form, true);
  });

  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-print]")) window.print();
  });

  // Coming back with the browser's button shows the page as it was left: pressed.
  window.addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    for (const form of document.querySelectorAll("form[data-once]")) busy(form, false);
  });

  window.holdfast = { busy, isSent };
})();

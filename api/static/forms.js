// A pressed button looks pressed, and a second press sends nothing. The server would
// find the first press anyway; this only spares the reader the doubt.
(() => {
  "use strict";

  const busy = (form, isBusy) => {
    for (const button of form.querySelectorAll("button[data-busy]")) {
      button.dataset.rest ??= button.textContent;
      button.textContent = isBusy ? button.dataset.busy : button.dataset.rest;
      button.setAttribute("aria-disabled", String(isBusy));
    }
    form.dataset.sent = isBusy ? "yes" : "";
  };

  document.addEventListener("submit", (event) => {
    const form = event.target;
    // Forms that gather a card first are marked by their own script.
    if (!form.matches("form[data-once]") || form.dataset.stripeKey) return;
    if (form.dataset.sent === "yes") event.preventDefault();
    else busy(form, true);
  });

  // Coming back with the browser's button shows the page as it was left: pressed.
  window.addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    for (const form of document.querySelectorAll("form[data-once]")) busy(form, false);
  });

  window.holdfast = { busy };
})();

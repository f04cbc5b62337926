// While somebody writes a reply: what is wrong with its words, and the letter as it would
// leave, both from the server. Without this the page's own button shows the same.
(() => {
  "use strict";

  const AFTER_A_PAUSE = 600;
  const PLACES = ["remarks", "leaves"];
  const NAMES = ["seen", "at"];

  const form = document.querySelector("form.editor");
  if (!form) return;
  let timer = 0;
  let asked = 0;

  const show = (page) => {
    const fresh = page.querySelector("form.editor");
    // Another page, or a letter that lacks something: the button shows it whole.
    if (!fresh || PLACES.some((id) => !fresh.querySelector(`#${id}`))) return;
    for (const id of PLACES) {
      form.querySelector(`#${id}`).replaceChildren(...fresh.querySelector(`#${id}`).childNodes);
    }
    for (const name of NAMES) form.elements[name].value = fresh.elements[name].value;
    const invalid = fresh.elements.opening.getAttribute("aria-invalid");
    if (invalid) form.elements.opening.setAttribute("aria-invalid", invalid);
    else form.elements.opening.removeAttribute("aria-invalid");
  };

  const look = async () => {
    asked += 1;
    const mine = asked;
    const fields = new URLSearchParams(new FormData(form));
    fields.set("step", "show");
    try {
      const answer = await fetch(form.action, { method: "POST", body: fields, redirect: "error" });
      const text = await answer.text();
      // Whoever has typed on meanwhile is shown what they typed last.
      if (answer.ok && mine === asked) show(new DOMParser().parseFromString(text, "text/html"));
    } catch {
      // No answer: the press on Send is checked as well.
    }
  };

  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(look, AFTER_A_PAUSE);
  });
})();

// Keeps a checkout's page true: asks whether it changed, and shows it when it did.
// Whatever goes wrong on the way, the last true words stay on the screen.
(() => {
  "use strict";

  const openedAt = Date.now();
  let timer = 0;

  // A payment is mostly done within a second, and that second is watched.
  const pause = () => {
    const seconds = (Date.now() - openedAt) / 1000;
    if (seconds < 3) return 250;
    return seconds < 30 ? 1000 : seconds < 300 ? 4000 : 20000;
  };

  const look = async () => {
    const main = document.querySelector("main[data-follow]");
    if (!main) return;
    try {
      const answer = await fetch(main.dataset.follow, { cache: "no-store" });
      if (answer.status === 200) {
        const news = await answer.json();
        if (news.version !== main.dataset.version) await show(main);
      }
    } catch {
      // The server does not answer. It is asked again.
    }
  };

  const show = async (main) => {
    const answer = await fetch(main.dataset.page, { cache: "no-store" });
    if (answer.status !== 200) return;
    const next = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = next.querySelector("main[data-version]");
    if (!fresh) return;
    // The card form brings a script and a policy of its own, which a swap cannot.
    if (fresh.querySelector("form[data-stripe-key]")) {
      location.replace(main.dataset.page);
      return;
    }
    for (const id of ["told", "rest"]) {
      const place = main.querySelector(`#${id}`);
      place.replaceChildren(...fresh.querySelector(`#${id}`).childNodes);
    }
    main.dataset.version = fresh.dataset.version;
    if (!fresh.dataset.follow) delete main.dataset.follow;
    document.title = next.title;
    main.querySelector("h1").focus();
  };

  const step = async () => {
    clearTimeout(timer);
    if (!document.hidden) await look();
    if (document.querySelector("main[data-follow]")) timer = setTimeout(step, pause());
  };

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) step();
  });
  timer = setTimeout(step, pause());
})();

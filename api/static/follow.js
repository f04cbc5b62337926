// Keeps a checkout's page true: asks whether it changed, and shows it when it did.
// Whatever goes wrong on the way, the last true words stay on the screen.
(() => {
  "use strict";

  // Without an answer for this long, the page says so itself.
  const PATIENCE = 2000;
  // A server that was cut off in the middle of an answer never ends it.
  const LONGEST_LOOK = 10000;

  const openedAt = Date.now();
  let timer = 0;
  let silentSince = 0;
  let patience = 0;
  let looking = false;

  // A payment is mostly done within a second, and that second is watched.
  const pause = () => {
    const now = Date.now();
    if (silentSince) return now - silentSince < 60000 ? 1000 : 5000;
    const seconds = (now - openedAt) / 1000;
    if (seconds < 3) return 250;
    return seconds < 30 ? 1000 : seconds < 300 ? 4000 : 20000;
  };

  const following = () => document.querySelector("main[data-follow]");

  const say = (isSilent) => {
    const line = document.getElementById("unreachable");
    if (!line) return;
    const words = isSilent ? line.dataset.says.replace("{at}", line.dataset.at) : "";
    if (line.textContent !== words) line.textContent = words;
  };

  // The words on the screen are still the true ones: from here on they are this old.
  const note = (readAt) => {
    const line = document.getElementById("unreachable");
    if (line && readAt) line.dataset.at = readAt;
  };

  const hear = () => {
    silentSince = 0;
    clearTimeout(patience);
    say(false);
  };

  const wait = () => {
    if (silentSince) return;
    silentSince = Date.now();
    patience = setTimeout(say, PATIENCE, true);
  };

  // Refusals (4xx) are answers without news; 5xx is as good as no answer.
  const ask = async (address) => {
    const answer = await fetch(address, {
      cache: "no-store",
      signal: AbortSignal.timeout(LONGEST_LOOK),
    });
    if (answer.status >= 500) throw new Error(`answered ${answer.status}`);
    hear();
    return answer.status === 200 ? answer : null;
  };

  const look = async (main, address) => {
    if (looking) return;
    looking = true;
    wait();
    try {
      const answer = await ask(address);
      const news = answer && (await answer.json());
      if (news && isNews(main, news)) await show(main);
      else if (news) note(news.read_at);
    } catch {
      // No answer. It is asked again.
    } finally {
      looking = false;
    }
  };

  // A page that waits for nothing may hold a form that is being filled in: it gives way
  // to another page only, not to new words on the same.
  const isNews = (main, news) =>
    main.dataset.follow
      ? news.version !== main.dataset.version
      : news.page !== main.dataset.state;

  const show = async (main) => {
    const answer = await ask(main.dataset.page);
    if (!answer) return;
    const next = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = next.querySelector("main[data-version]");
    if (!fresh) return;
    // The card form brings a script and a policy of its own, which a swap cannot.
    if (fresh.querySelector("form[data-stripe-key]")) {
      location.replace(main.dataset.page);
      return;
    }
    const isAnother = fresh.dataset.state !== main.dataset.state;
    for (const id of ["told", "rest"]) {
      const place = main.querySelector(`#${id}`);
      place.replaceChildren(...fresh.querySelector(`#${id}`).childNodes);
    }
    for (const name of ["state", "version", "follow", "look"]) {
      if (name in fresh.dataset) main.dataset[name] = fresh.dataset[name];
      else delete main.dataset[name];
    }
    document.title = next.title;
    // One more sentence on the same page is read out where it stands.
    if (isAnother) main.querySelector("h1").focus();
  };

  const step = async () => {
    clearTimeout(timer);
    const main = following();
    if (main && !document.hidden) await look(main, main.dataset.follow);
    if (following()) {
      clearTimeout(timer);
      timer = setTimeout(step, pause());
    }
  };

  // A tab that comes to the front again, or a page that Back brings, may be outdated.
  const comeBack = () => {
    const main = document.querySelector("main[data-look]");
    if (main) look(main, main.dataset.look).then(step).finally(hearNothing);
    else step();
  };

  // Where nothing is waited for, a silent server is not the reader's trouble.
  const hearNothing = () => {
    if (!following()) hear();
  };

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) comeBack();
  });
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) comeBack();
  });
  timer = setTimeout(step, pause());
})();

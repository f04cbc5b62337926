// Shows a new mail as soon as it is there. Without this script: reload the page.
const shown = Number(document.body.dataset.count);
async function watch() {
  for (;;) {
    try {
      const reply = await fetch(`/api/mails/wait?count=${shown + 1}&timeout=60`);
      if ((await reply.json()).complete) return location.reload();
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 2000));
    }
  }
}
watch();

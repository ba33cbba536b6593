// Keeps a page fresh, and shows times in the zone of the viewer. Without it the pages work, and are as old as they were loaded.
"use strict";

(() => {
  const status = document.getElementById("live");
  const EVERY = 30000;

  const say = (text) => {
    if (status) {
      status.textContent = text;
      status.hidden = text === "";
    }
  };

  const isToday = (at) => at.toDateString() === new Date().toDateString();

  const localize = (root) => {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      if (Number.isNaN(at.getTime())) continue;
      const clock = time.querySelector(".clock") ?? time;
      clock.textContent = isToday(at)
        ? at.toLocaleTimeString()
        : at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
      time.title = at.toISOString().replace("T", " ").replace(/\.\d+Z$/, " UTC");
    }
  };

  let loading = false;
  let again = false;

  const refresh = async () => {
    if (document.hidden) return;
    if (loading) {
      again = true;
      return;
    }
    loading = true;
    try {
      const answer = await fetch(location.href, { headers: { "X-Console-Refresh": "1" }, credentials: "same-origin" });
      if (answer.status === 401) {
        say("The session has ended. Reload the page.");
        return;
      }
      if (!answer.ok) {
        say("This page is not up to date.");
        return;
      }
      say("");
      replace(new DOMParser().parseFromString(await answer.text(), "text/html"));
    } catch {
      say("Pollinator does not answer. This page is not up to date.");
    } finally {
      loading = false;
      if (again) {
        again = false;
        setTimeout(refresh, 1000);
      }
    }
  };

  const replace = (fresh) => {
    for (const next of fresh.querySelectorAll("[data-live][id]")) {
      const old = document.getElementById(next.id);
      // What a person is about to press stays under the finger.
      if (!old || (old.contains(document.activeElement) && old !== document.activeElement)) continue;
      for (const open of old.querySelectorAll("details[open][id]")) {
        const same = next.querySelector("#" + CSS.escape(open.id));
        if (same) same.open = true;
      }
      localize(next);
      old.replaceWith(document.adoptNode(next));
    }
  };

  for (const button of document.querySelectorAll("[data-copy]")) {
    if (!navigator.clipboard) continue;
    button.hidden = false;
    button.addEventListener("click", async () => {
      const text = document.getElementById(button.dataset.copy)?.textContent ?? "";
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Select the text and copy it";
      }
    });
  }

  // What was said about the last form is said once.
  const here = new URL(location.href);
  if (here.searchParams.has("done")) {
    here.searchParams.delete("done");
    history.replaceState(null, "", here);
  }

  localize(document);
  // A form stays as it is: there is nothing to keep fresh.
  if (document.querySelector("main [data-live]")) {
    new EventSource("/live").addEventListener("changed", refresh);
    setInterval(refresh, EVERY);
    document.addEventListener("visibilitychange", refresh);
  }
})();

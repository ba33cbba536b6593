// Keeps a page fresh, shows times in the zone of the viewer, and sends forms so that going back loses nothing. Without it the pages work,
// and are as old as they were loaded.
"use strict";

(() => {
  const status = document.getElementById("live");
  const EVERY = 30000;
  // A time that was to come has passed: something is new. But not more often than this.
  const DUE = 10000;

  const say = (text) => {
    if (status && status.textContent !== text) {
      status.textContent = text;
      status.hidden = text === "";
    }
  };

  const isToday = (at) => at.toDateString() === new Date().toDateString();
  // The element itself, or what is in it.
  const times = (root) => [...(root.matches?.("time[datetime]") ? [root] : []), ...root.querySelectorAll("time[datetime]")];

  const localize = (root) => {
    for (const time of times(root)) {
      const at = new Date(time.dateTime);
      if (Number.isNaN(at.getTime())) continue;
      const clock = time.querySelector(".clock") ?? time;
      clock.textContent = isToday(at)
        ? at.toLocaleTimeString()
        : at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
      time.title = at.toISOString().replace("T", " ").replace(/\.\d+Z$/, " UTC");
    }
  };

  // How far the clock of the server is ahead of that of the viewer.
  let ahead = 0;
  const follow = (root) => {
    const now = Date.parse(root.getElementById("as-of")?.dateTime);
    if (!Number.isNaN(now)) ahead = now - Date.now();
  };

  // In the words of the server.
  const distance = (seconds, isNext) => {
    const size = Math.abs(seconds);
    if (size < 2 || (isNext && seconds < 0)) return "now";
    const [number, unit] =
      size < 60 ? [size, "s"] : size < 3600 ? [size / 60, "min"] : size < 172800 ? [size / 3600, "h"] : [size / 86400, "d"];
    const length = `${Math.floor(number)} ${unit}`;
    return seconds > 0 ? `in ${length}` : `${length} ago`;
  };

  let refreshed = Date.now();
  const tick = () => {
    if (document.hidden) return;
    let isDue = false;
    for (const time of times(document)) {
      const shown = time.querySelector(".distance");
      if (!shown) continue;
      const seconds = Math.trunc((Date.parse(time.dateTime) - ahead - Date.now()) / 1000);
      const isNext = time.dataset.next !== undefined;
      isDue ||= isNext && seconds < -1;
      const text = distance(seconds, isNext);
      if (shown.textContent !== text) shown.textContent = text;
    }
    if (isDue && Date.now() - refreshed > DUE) refresh();
  };

  let loading = false;
  let again = false;
  let isOver = false;

  const refresh = async () => {
    if (document.hidden || isOver) return;
    if (loading) {
      again = true;
      return;
    }
    loading = true;
    refreshed = Date.now();
    try {
      const answer = await fetch(location.href, { headers: { "X-Console-Refresh": "1" }, credentials: "same-origin" });
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (answer.status === 401) {
        say("The session has ended. Reload the page.");
      } else if (answer.status === 404) {
        // What it showed is gone, and so is all that could be done to it.
        isOver = true;
        say("");
        show(fresh);
      } else if (!answer.ok) {
        say("This page is not up to date.");
      } else {
        say("");
        replace(fresh);
      }
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
    follow(fresh);
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

  // Another page in the place of this one.
  const show = (fresh) => {
    const main = fresh.querySelector("main");
    if (!main) return;
    document.title = fresh.title;
    document.querySelector("main").replaceWith(document.adoptNode(main));
    localize(main);
    copying(main);
    (main.querySelector("[autofocus]") ?? main).focus();
  };

  const copying = (root) => {
    for (const button of root.querySelectorAll("[data-copy]")) {
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
  };

  // The form of settings stays in the history of the browser with what was entered, but for secrets that were not sent yet. Its answers take
  // its place, so that no step back or forward sends it again.
  const settings = () => document.querySelector("form[data-settings]");

  const remember = () => {
    const form = settings();
    if (!form) return;
    const secret = new Set([...form.querySelectorAll("[type=password], [name=csrf]")].map((field) => field.name));
    const entered = [...new FormData(form)].filter(([name]) => !secret.has(name));
    history.replaceState({ entered }, "");
  };

  const send = async (entered, what) => {
    const form = settings();
    const body = new URLSearchParams([...entered, ["do", what], ["script", "1"]]);
    form.setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(form.getAttribute("action"), { method: "POST", body, credentials: "same-origin" });
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (answer.redirected) {
        location.assign(answer.url);
      } else if (fresh.querySelector("form[data-settings]")) {
        say("");
        show(fresh);
        remember();
      } else {
        // Refused as a whole: what was entered stays.
        say(`${fresh.querySelector("h1")?.textContent}. ${fresh.querySelector("main p")?.textContent}`);
      }
    } catch {
      say("Pollinator does not answer. Nothing was saved.");
    } finally {
      form.removeAttribute("aria-busy");
    }
  };

  document.addEventListener("input", remember);
  document.addEventListener("submit", (event) => {
    const form = settings();
    if (event.target !== form || !event.submitter) return;
    event.preventDefault();
    if (!form.hasAttribute("aria-busy")) send(new FormData(form), event.submitter.value);
  });

  // What was said about the last form is said once.
  const here = new URL(location.href);
  if (here.searchParams.has("done")) {
    here.searchParams.delete("done");
    history.replaceState(null, "", here);
  }

  follow(document);
  localize(document);
  copying(document);
  const entered = history.state?.entered;
  if (settings() && entered) {
    send([...entered, ["csrf", settings().elements.csrf.value]], "refresh");
  }
  // A form stays as it is: there is nothing to keep fresh.
  if (document.querySelector("main [data-live]")) {
    const of = document.querySelector("[data-of]")?.dataset.of;
    new EventSource(of ? `/live?of=${encodeURIComponent(of)}` : "/live").addEventListener("changed", refresh);
    setInterval(refresh, EVERY);
    setInterval(tick, 1000);
    document.addEventListener("visibilitychange", refresh);
    addEventListener("pageshow", (event) => event.persisted && refresh());
  }
})();

// The whole script of the dashboard: theme, live pages, selections, previews. Without it every page still works.
"use strict";
(() => {
  const root = document.documentElement;

  // Before the first paint, so that nothing flashes.
  const kept = () => { try { return localStorage.getItem("lovage-theme"); } catch { return null; } };
  if (kept()) root.dataset.theme = kept();

  const isDark = () => root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;

  function theme() {
    const button = document.getElementById("theme");
    if (!button) return;
    const show = () => {
      button.textContent = isDark() ? "Light" : "Dark";
      button.setAttribute("aria-label", isDark() ? "Use light colours" : "Use dark colours");
    };
    button.hidden = false;
    show();
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      try { localStorage.setItem("lovage-theme", root.dataset.theme); } catch { /* for this page only */ }
      show();
    });
  }

  // Swapping a part of the page must not take away what somebody is doing in it.
  const boxKey = (box) => box.name + "=" + box.value;
  const isTyping = (part) => {
    const active = document.activeElement;
    if (active && part.contains(active) && active.matches("input:not([type=checkbox]), textarea, select")) return true;
    return [...part.querySelectorAll("input[type=text], textarea")].some((field) => field.value !== field.defaultValue);
  };

  function swap(part, html) {
    const active = part.contains(document.activeElement) ? document.activeElement : null;
    const focus = active && active.dataset.key;
    const checked = new Set([...part.querySelectorAll("input[type=checkbox]:checked")].map(boxKey));
    const opened = new Set([...part.querySelectorAll("details[open][id]")].map((details) => details.id));
    part.innerHTML = html;
    part.querySelectorAll("input[type=checkbox]").forEach((box) => { box.checked = checked.has(boxKey(box)); });
    part.querySelectorAll("details[id]").forEach((details) => { if (opened.has(details.id)) details.open = true; });
    if (focus) {
      const again = [...part.querySelectorAll("[data-key]")].find((element) => element.dataset.key === focus);
      if (again) again.focus({ preventScroll: true });
    }
    selections(part);
  }

  function live() {
    const part = document.getElementById("live");
    const status = document.getElementById("live-status");
    if (!part || !part.dataset.live || !window.EventSource) return;
    let source = null;
    let latest = null;
    const say = (text, tone) => {
      if (status.textContent !== text) status.textContent = text;
      status.dataset.tone = tone;
    };
    const show = () => {
      if (latest === null) return;
      if (isTyping(part)) { say("Waits while you type", "wait"); return; }
      swap(part, latest);
      latest = null;
      say("Live", "good");
    };
    const open = () => {
      if (source || document.hidden) return;
      source = new EventSource(part.dataset.live);
      source.addEventListener("open", () => say("Live", "good"));
      source.addEventListener("fragment", (event) => { latest = event.data; show(); });
      source.addEventListener("trouble", (event) => say("Not up to date: " + event.data, "bad"));
      source.addEventListener("error", () => {
        say("Not connected, trying again", "bad");
        // A refused stream is not tried again by the browser: the session may have ended, or come back later.
        if (source && source.readyState === EventSource.CLOSED) { close(); setTimeout(open, 10000); }
      });
    };
    const close = () => { if (source) { source.close(); source = null; } };
    document.addEventListener("visibilitychange", () => { if (document.hidden) close(); else open(); });
    part.addEventListener("focusout", () => setTimeout(show, 0));
    addEventListener("pagehide", close);
    addEventListener("pageshow", open);
    open();
  }

  // A box that checks all boxes of its form.
  function selections(part) {
    part.querySelectorAll("[data-all]").forEach((all) => {
      const form = all.closest("form");
      const boxes = () => [...form.querySelectorAll("input[type=checkbox]:not([data-all])")];
      const update = () => {
        const count = boxes().filter((box) => box.checked).length;
        all.checked = count > 0 && count === boxes().length;
        all.indeterminate = count > 0 && !all.checked;
      };
      all.hidden = false;
      all.addEventListener("change", () => { boxes().forEach((box) => { box.checked = all.checked; }); });
      form.addEventListener("change", update);
      update();
    });
  }

  // Puts each part of an answer where it belongs. Fields that look the same stay, so that nobody is disturbed in them.
  function place(html) {
    const answer = new DOMParser().parseFromString(html, "text/html");
    answer.querySelectorAll("[data-into]").forEach((part) => {
      const target = document.getElementById(part.dataset.into);
      if (!target || ("look" in part.dataset && part.dataset.look === target.dataset.look)) return;
      const focus = target.contains(document.activeElement) ? document.activeElement.id : "";
      target.innerHTML = part.innerHTML;
      if ("look" in part.dataset) target.dataset.look = part.dataset.look;
      if (focus && document.getElementById(focus)) document.getElementById(focus).focus();
    });
  }

  // A form that shows what it would do while somebody types.
  function previews() {
    document.querySelectorAll("form[data-preview]").forEach((form) => {
      let timer = 0;
      let typed = 0;
      const ask = async () => {
        const before = typed;
        const query = new URLSearchParams(new FormData(form));
        query.delete("csrf");
        const answer = await fetch(form.dataset.preview + "?" + query).catch(() => null);
        const html = answer && answer.ok ? await answer.text() : null;
        // Whoever has typed on since then is asked for again.
        if (html !== null && before === typed) place(html);
      };
      form.addEventListener("input", () => { typed++; clearTimeout(timer); timer = setTimeout(ask, 200); });
      const kind = form.querySelector("[data-kind]");
      const fit = () => form.querySelectorAll("[data-for]").forEach((field) => {
        field.hidden = kind && field.dataset.for !== kind.value;
      });
      if (kind) { kind.addEventListener("change", fit); fit(); }
      ask();
    });
  }

  document.addEventListener("DOMContentLoaded", () => {
    theme();
    selections(document);
    previews();
    live();
  });
})();

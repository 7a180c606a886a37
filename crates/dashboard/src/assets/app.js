// The whole script of the dashboard: theme, live pages, selections, previews. Without it every page still works.
"use strict";
(() => {
  const root = document.documentElement;
  root.dataset.scripts = "";

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

  // What becomes what: by its name where it has one, so that nobody's focus goes on to something else, else by its place
  // among those of the same kind.
  const nameOf = (node) => {
    if (node.nodeType !== Node.ELEMENT_NODE) return node.nodeName;
    const box = node.matches("input[type=checkbox]") ? node.name + "=" + node.value : "";
    return [node.nodeName, node.getAttribute("id") || node.dataset.key || node.getAttribute("href") || box].join(" ");
  };

  // What makes a part of the page like another one, step by step; nothing but that, so that what somebody selected, scrolled,
  // opened, checked or points at stays. `loses` is what a selection in it does not outlive.
  function changes(now, wanted, steps = []) {
    if (now.isEqualNode(wanted)) return steps;
    if (now.nodeType !== Node.ELEMENT_NODE) {
      steps.push({ loses: now, run: () => { now.data = wanted.data; } });
      return steps;
    }
    const names = new Set([...now.getAttributeNames(), ...wanted.getAttributeNames()]);
    // Whoever opened something closes it.
    if (now.matches("details")) names.delete("open");
    names.forEach((name) => {
      const value = wanted.getAttribute(name);
      if (value === now.getAttribute(name)) return;
      steps.push({ run: () => { if (value === null) now.removeAttribute(name); else now.setAttribute(name, value); } });
    });
    const there = new Map();
    now.childNodes.forEach((child) => {
      const name = nameOf(child);
      if (there.has(name)) there.get(name).push(child); else there.set(name, [child]);
    });
    const kept = [...wanted.childNodes].map((child) => (there.get(nameOf(child)) || []).shift());
    [...there.values()].flat().forEach((gone) => steps.push({ loses: gone, run: () => gone.remove() }));
    const rest = [...now.childNodes].filter((child) => kept.includes(child));
    [...wanted.childNodes].forEach((child, place) => {
      const same = kept[place];
      if (!same || same !== rest[0]) {
        const before = rest[0] || null;
        steps.push({ loses: same, run: () => now.insertBefore(same || child, before) });
      }
      if (same) { rest.splice(rest.indexOf(same), 1); changes(same, child, steps); }
    });
    return steps;
  }

  // What somebody does in a part of the page that a change would take away: typing, or selecting text.
  const isTyping = (part) => {
    const active = document.activeElement;
    if (active && part.contains(active) && active.matches("input:not([type=checkbox]), textarea, select")) return true;
    return [...part.querySelectorAll("input[type=text], textarea")].some((field) => field.value !== field.defaultValue);
  };
  const isSelected = (steps) => {
    const selection = getSelection();
    return !selection.isCollapsed && steps.some(({ loses }) => loses && selection.containsNode(loses, true));
  };

  function apply(part, steps) {
    const active = part.contains(document.activeElement) ? document.activeElement : null;
    steps.forEach((step) => step.run());
    // What was moved has lost the focus.
    if (active && document.activeElement !== active && part.contains(active)) active.focus({ preventScroll: true });
    selections(part);
  }

  function live() {
    const part = document.getElementById("live");
    const status = document.getElementById("live-status");
    if (!part || !part.dataset.live || !window.EventSource) return;
    let source = null;
    // The newest HTML of the page in parts, tags and texts, and whether it is still to be shown.
    let parts = [];
    let latest = null;
    const split = (html) => { parts = html.match(/<[^<>]*>?|[^<]+/g) || []; latest = html; show(); };
    // Texts to insert, and pairs of numbers: first part and count of parts to copy.
    const change = (operations) => {
      let html = "";
      for (let place = 0; place < operations.length; place++) {
        const operation = operations[place];
        if (typeof operation === "string") { html += operation; continue; }
        place++;
        html += parts.slice(operation, operation + operations[place]).join("");
      }
      split(html);
    };
    const say = (text, tone) => {
      if (status.textContent !== text) status.textContent = text;
      status.dataset.tone = tone;
    };
    const show = () => {
      if (latest === null) return;
      if (isTyping(part)) { say("Waits while you type", "wait"); return; }
      const wanted = part.cloneNode(false);
      wanted.innerHTML = latest;
      const steps = changes(part, wanted);
      if (isSelected(steps)) { say("Waits while you select", "wait"); return; }
      apply(part, steps);
      latest = null;
      showStatus();
    };
    // Parts of the page may say that what they show is not known at the moment.
    const showStatus = () => {
      const outage = part.querySelector("[data-outage]");
      if (outage) say("Partly out of date", "bad"); else say("Live", "good");
    };
    const open = () => {
      if (source || document.hidden) return;
      source = new EventSource(part.dataset.live);
      source.addEventListener("open", showStatus);
      source.addEventListener("fragment", (event) => split(event.data));
      source.addEventListener("change", (event) => change(JSON.parse(event.data)));
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
    document.addEventListener("selectionchange", () => { if (getSelection().isCollapsed) show(); });
    addEventListener("pagehide", close);
    addEventListener("pageshow", open);
    open();
  }

  // A box that checks all boxes of its form, and tells whether they are.
  const boxesOf = (all) => [...all.closest("form").querySelectorAll("input[type=checkbox]:not([data-all])")];
  function selections(part) {
    part.querySelectorAll("[data-all]").forEach((all) => {
      const count = boxesOf(all).filter((box) => box.checked).length;
      all.checked = count > 0 && count === boxesOf(all).length;
      all.indeterminate = count > 0 && !all.checked;
    });
  }
  // Once for all of them: boxes come and go.
  document.addEventListener("change", ({ target }) => {
    if (!target.matches("input[type=checkbox]") || !target.form) return;
    if (target.matches("[data-all]")) boxesOf(target).forEach((box) => { box.checked = target.checked; });
    selections(target.form);
  });

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

  // Why there is no answer: in the words of the page that came instead, where one did.
  function why(answer, html) {
    if (!answer) return "the dashboard does not answer.";
    const page = new DOMParser().parseFromString(html, "text/html");
    const said = page.querySelector("[role=alert], main p");
    return said ? said.textContent : "the dashboard answers " + answer.status + ".";
  }

  // A form that shows what it would do while somebody types.
  function previews() {
    document.querySelectorAll("form[data-preview]").forEach((form) => {
      let timer = 0;
      let typed = 0;
      const trouble = form.querySelector("[data-trouble]");
      const ask = async () => {
        const before = typed;
        const body = new URLSearchParams(new FormData(form));
        const answer = await fetch(form.dataset.preview, { method: "POST", body }).catch(() => null);
        const html = answer ? await answer.text().catch(() => "") : "";
        // Whoever has typed on since then is asked for again.
        if (before !== typed) return;
        const isGood = answer !== null && answer.ok;
        if (isGood) place(html);
        trouble.hidden = isGood;
        if (!isGood) trouble.textContent = "What is written here cannot be checked while you type: " + why(answer, html);
      };
      form.addEventListener("input", () => { typed++; clearTimeout(timer); timer = setTimeout(ask, 200); });
      const kind = form.querySelector("[data-kind]");
      const fit = () => form.querySelectorAll("[data-for]").forEach((field) => {
        field.hidden = kind && field.dataset.for !== kind.value;
      });
      if (kind) { kind.addEventListener("change", fit); fit(); }
      if ("previewFirst" in form.dataset) ask();
    });
  }

  document.addEventListener("DOMContentLoaded", () => {
    theme();
    selections(document);
    previews();
    live();
  });
})();

// What makes the page live: it hears what changed and loads those parts again, searches as one types, and shows a token or a
// password for as long as it may be seen. Everything is read without it too.
"use strict";
(() => {
  const token = document.querySelector("meta[name=csrf]")?.content ?? "";
  const said = document.getElementById("said");
  const offline = document.getElementById("offline");
  const say = (text) => { if (said) said.textContent = text; };

  // Parts of the page are loaded again and put in place; what is chosen or focused in them stays.
  let loading = null;
  let wanted = false;
  const again = async (address) => {
    if (loading) { wanted = true; return loading; }
    loading = load(address ?? location.href).finally(() => { loading = null; });
    await loading;
    if (wanted) { wanted = false; await again(); }
  };
  const load = async (address) => {
    let text;
    try {
      const response = await fetch(address, { headers: { "x-rotord-again": "1" }, cache: "no-store" });
      if (response.status === 403) { location.reload(); return; }
      if (!response.ok) return;
      text = await response.text();
    } catch { offline && (offline.hidden = false); return; }
    const fresh = new DOMParser().parseFromString(text, "text/html");
    for (const part of document.querySelectorAll("[data-part]")) {
      const other = fresh.querySelector(`[data-part="${part.dataset.part}"]`);
      if (!other || other.innerHTML === part.dataset.was) continue;
      part.dataset.was = other.innerHTML;
      const focused = part.contains(document.activeElement) ? document.activeElement : null;
      if (focused && focused.tagName !== "A" && focused.tagName !== "SUMMARY" && focused.type !== "checkbox") continue;
      const chosen = new Set([...part.querySelectorAll("input:checked")].map((box) => box.value));
      const opened = [...part.querySelectorAll("details")].map((box) => box.open);
      const key = focused && (focused.getAttribute("href") ?? focused.value);
      part.toggleAttribute("data-running", other.hasAttribute("data-running"));
      part.replaceChildren(...document.adoptNode(other).childNodes);
      for (const box of part.querySelectorAll("input[type=checkbox]")) box.checked = chosen.has(box.value);
      [...part.querySelectorAll("details")].slice(0, opened.length).forEach((box, at) => { if (opened.length === part.querySelectorAll("details").length) box.open = opened[at]; });
      if (key) [...part.querySelectorAll("a, input")].find((it) => (it.getAttribute("href") ?? it.value) === key)?.focus();
    }
    count();
  };

  // The search answers while one types.
  for (const input of document.querySelectorAll("[data-live-search]")) {
    let timer;
    const search = () => {
      const query = new URLSearchParams([...new FormData(input.form)].filter(([, value]) => value !== ""));
      const address = `${input.form.getAttribute("action")}?${query}`;
      history.replaceState(null, "", new URL(address, document.baseURI));
      again().then(() => say(document.querySelector("table caption")?.textContent ?? "Nothing fits"));
    };
    input.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(search, 150); });
    input.form.addEventListener("change", (event) => { if (event.target !== input) search(); });
  }

  // What is selected.
  const count = () => {
    const told = document.querySelector("[data-chosen]");
    if (!told) return;
    const boxes = [...document.querySelectorAll("input[name=account]")];
    const chosen = boxes.filter((box) => box.checked).length;
    const all = document.querySelector("input[name=all]")?.checked;
    told.textContent = all ? "All that the search finds are selected" : chosen ? `${chosen} selected` : "Nothing is selected";
    const page = document.querySelector("[data-all-rows]");
    if (page) { page.checked = boxes.length > 0 && chosen === boxes.length; page.indeterminate = chosen > 0 && chosen < boxes.length; }
    for (const button of document.querySelectorAll("#bulk .bulk button")) button.disabled = !all && !chosen;
  };
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-all-rows]")) for (const box of document.querySelectorAll("input[name=account]")) box.checked = event.target.checked;
    count();
  });
  count();

  // Asks for something that is answered with JSON.
  const ask = async (path, fields) => {
    const response = await fetch(path, { method: "POST", headers: { accept: "application/json", "content-type": "application/x-www-form-urlencoded" }, body: new URLSearchParams({ csrf: token, ...fields }) });
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.error);
    return answer;
  };
  const copy = async (text, what) => {
    try { await navigator.clipboard.writeText(text); say(`${what} copied`); return true; } catch { say("The browser does not let this page copy"); return false; }
  };
  const flash = (button, done) => {
    const was = button.textContent;
    button.textContent = done ? "Copied" : "Select it by hand";
    setTimeout(() => { button.textContent = was; }, 1500);
  };

  for (const card of document.querySelectorAll("[data-token]")) {
    const code = card.querySelector("[data-code]");
    if (!code) continue;
    const ring = card.querySelector("[data-ring]");
    const left = card.querySelector("[data-left]");
    const copier = card.querySelector("[data-copy]");
    const keep = card.querySelector("[data-keep]");
    const keeps = keep.querySelector("input");
    let shown = null;
    let timer = 0;
    let until = 0;
    keep.hidden = false;
    const hide = (why) => {
      clearInterval(timer); timer = 0; shown = null;
      code.textContent = "••••••"; left.textContent = why; copier.hidden = true;
      ring.style.strokeDashoffset = "94.25"; ring.parentNode.classList.remove("late");
    };
    const tick = () => {
      const rest = shown.ends - performance.now();
      if (rest <= 0) {
        const goes = keeps.checked && performance.now() < until && !document.hidden;
        if (!goes) keeps.checked = false;
        hide(goes ? "waiting for the next one…" : "it has ended");
        if (goes) fetchCode(false);
        return;
      }
      left.textContent = `${Math.ceil(rest / 1000)} s left`;
      ring.style.strokeDashoffset = String(94.25 * (1 - rest / (shown.period * 1000)));
      ring.parentNode.classList.toggle("late", rest < 5000);
    };
    const fetchCode = async (next) => {
      left.textContent = next ? "waiting for the next one…" : "waiting for a fresh token…";
      for (const button of card.querySelectorAll("button")) button.disabled = true;
      try {
        const answer = await ask("token", { account: card.dataset.account, next: next ? "1" : "" });
        clearInterval(timer);
        shown = { token: answer.token, period: answer.period || 30, ends: performance.now() + answer.seconds_left * 1000 };
        code.textContent = answer.token; copier.hidden = false;
        say(`Token ${answer.token.split("").join(" ")}`);
        timer = setInterval(tick, 250); tick();
      } catch (error) { hide(error.message); say(error.message); }
      for (const button of card.querySelectorAll("button")) button.disabled = false;
    };
    card.querySelector("form").addEventListener("submit", (event) => { event.preventDefault(); fetchCode(event.submitter?.value === "1"); });
    keeps.addEventListener("change", () => { until = performance.now() + 300000; if (keeps.checked && !shown) fetchCode(false); });
    copier.addEventListener("click", async () => { if (shown) flash(copier, await copy(shown.token, "Token")); });
    addEventListener("pagehide", () => hide(""));
  }

  for (const card of document.querySelectorAll("[data-password]")) {
    const place = card.querySelector("[data-secret]");
    if (!place) continue;
    const left = card.querySelector("[data-left]");
    const copier = card.querySelector("[data-copy]");
    const hider = card.querySelector("[data-hide]");
    let shown = null;
    let timer = 0;
    const hide = (why) => {
      clearInterval(timer); shown = null;
      place.textContent = "••••••••••••"; left.textContent = why; copier.hidden = hider.hidden = true;
    };
    card.querySelector("form").addEventListener("submit", async (event) => {
      event.preventDefault();
      const reason = new FormData(event.target).get("reason");
      try {
        const answer = await ask("reveal", { account: card.dataset.account, reason });
        event.target.reset();
        shown = answer.password; place.textContent = shown; copier.hidden = hider.hidden = false;
        const ends = performance.now() + answer.seconds * 1000;
        clearInterval(timer);
        const tick = () => {
          const rest = Math.ceil((ends - performance.now()) / 1000);
          if (rest <= 0) hide("hidden again"); else left.textContent = `${rest} s left`;
        };
        timer = setInterval(tick, 250); tick(); say("The password is shown");
      } catch (error) { hide(error.message); say(error.message); }
    });
    copier.addEventListener("click", async () => { if (shown) flash(copier, await copy(shown, "Password")); });
    hider.addEventListener("click", () => hide("hidden"));
    addEventListener("pagehide", () => hide(""));
  }

  // News. A browser opens six connections to a host, so one page of it listens and tells the others.
  let due = 0;
  const soon = (time) => { if (!due && !document.hidden) due = setTimeout(() => { due = 0; again(); }, time); };
  const here = document.body.dataset.here;
  const own = new URLSearchParams(location.search).get("name");
  const hear = ({ kind, data }) => {
    if (kind === "daemon") {
      offline.hidden = data;
      say(data ? "The daemon answers again" : "The daemon does not answer");
      if (data) soon(200);
    } else if (location.pathname.endsWith("/account")) {
      if (kind === "accounts" && (data.length === 0 || data.includes(own))) soon(400);
    } else if (["overview", "accounts", "devices", "work"].includes(here) || kind === "work") soon(800);
  };
  const others = "BroadcastChannel" in window ? new BroadcastChannel(`rotord ${document.baseURI}`) : null;
  if (others) others.onmessage = (event) => hear(event.data);
  const listen = () => {
    const source = new EventSource("live");
    for (const kind of ["accounts", "work", "daemon"]) {
      source.addEventListener(kind, (event) => {
        const news = { kind, data: JSON.parse(event.data) };
        others?.postMessage(news);
        hear(news);
      });
    }
    source.onerror = () => { if (source.readyState === EventSource.CLOSED) { offline.hidden = false; setTimeout(() => { location.reload(); }, 5000); } };
    source.onopen = () => { if (!offline.hidden) soon(500); };
    return source;
  };
  if (document.body.dataset.here) {
    if (navigator.locks && others) navigator.locks.request(`rotord ${document.baseURI}`, () => { listen(); return new Promise(() => {}); });
    else listen();
  }
  document.addEventListener("visibilitychange", () => { if (!document.hidden) soon(50); });
  // What runs is looked at again until it has ended.
  setInterval(() => { if (document.querySelector("[data-running]")) soon(0); }, 1000);
})();

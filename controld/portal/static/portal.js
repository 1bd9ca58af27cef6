// Comfort only: every page works without this file, but for passkeys, which are the browser's.
"use strict";
const SOON_MS = 300, AGAIN_MS = 5000;

// What is marked live is fetched again, all parts with one request, and replaced where it changed.
const live = [...document.querySelectorAll("[data-live]")].filter((part) => !part.parentElement.closest("[data-live]"));
const source = live.length && (live[0].dataset.live || location.href);
async function refresh() {
  if (document.hidden) return;
  const answer = await fetch(source, { headers: { Accept: "text/html" } }).catch(() => null);
  if (!answer || !answer.ok) return;
  if (answer.redirected) return location.reload();
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of live) {
    const fresh = page.getElementById(part.id);
    if (!part.contains(document.activeElement) && fresh && fresh.innerHTML !== part.innerHTML) part.innerHTML = fresh.innerHTML;
  }
}

// The record says when to look. Only a page that is seen holds a stream: a browser has few for a
// site. An auditor's own looking is on record, too, and is no reason to look again.
let events = null, soon = 0;
function listen() {
  if (document.hidden || !live.length) { events?.close(); events = null; return; }
  if (events) return;
  events = new EventSource("/events");
  events.addEventListener("change", (event) => {
    if (JSON.parse(event.data).action === "auditor_read") return;
    clearTimeout(soon);
    soon = setTimeout(refresh, SOON_MS);
  });
  events.addEventListener("over", () => location.reload());
}
if (live.length) {
  document.addEventListener("visibilitychange", () => { listen(); if (!document.hidden) refresh(); });
  addEventListener("pagehide", () => events?.close());
  listen();
  // Without a stream it looks from time to time.
  setInterval(() => { if (events?.readyState !== EventSource.OPEN) refresh(); }, AGAIN_MS);
}

// A search box narrows the table below it.
for (const box of document.querySelectorAll("input[data-filter]")) {
  box.hidden = false;
  box.addEventListener("input", () => {
    const wanted = box.value.trim().toLowerCase();
    for (const row of document.querySelectorAll(`#${box.dataset.filter} tbody tr`))
      row.hidden = !row.textContent.toLowerCase().includes(wanted);
  });
}

// The sentence that says what a session will reach.
const plan = document.querySelector("form[data-plan]");
if (plan) {
  const list = document.getElementById("summary-list");
  const say = () => {
    const chosen = [...plan.querySelectorAll("input[name=target]:checked")].map((box) => box.dataset.label);
    list.replaceChildren(...chosen.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
    document.getElementById("summary").hidden = chosen.length === 0;
    document.getElementById("summary-none").hidden = chosen.length > 0;
  };
  plan.addEventListener("change", say);
  const zone = plan.querySelector("input[name=zone]");
  if (zone && !zone.value) zone.value = Intl.DateTimeFormat().resolvedOptions().timeZone;
  say();
}

// Start hands over to the client by itself; in a frame, because a browser that does not know what
// to do with such a link may wait for an answer for ever, and this page has to go on.
const handover = document.getElementById("handover");
if (handover) document.body.append(Object.assign(document.createElement("iframe"), { src: handover.href, hidden: true, title: "" }));

// Passkeys: JSON has base64url where the browser wants bytes.
const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const spelt = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
const ways = {
  async create(form) {
    const asked = JSON.parse(form.dataset.options);
    asked.challenge = bytes(asked.challenge);
    asked.user.id = bytes(asked.user.id);
    for (const each of asked.excludeCredentials ?? []) each.id = bytes(each.id);
    const made = await navigator.credentials.create({ publicKey: asked });
    return [made, { attestationObject: spelt(made.response.attestationObject) }];
  },
  async get() {
    const answer = await fetch("/api/v1/login/passkey/options", { method: "POST" });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const asked = JSON.parse((await answer.json()).options);
    asked.challenge = bytes(asked.challenge);
    asked.allowCredentials = [];
    const shown = await navigator.credentials.get({ publicKey: asked });
    const { authenticatorData, signature, userHandle } = shown.response;
    return [shown, { authenticatorData: spelt(authenticatorData), signature: spelt(signature), userHandle: userHandle && spelt(userHandle) }];
  },
};
for (const form of document.querySelectorAll("form[data-passkey]")) {
  form.hidden = !window.PublicKeyCredential;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const problem = form.querySelector("[role=alert]");
    problem.hidden = true;
    try {
      const [credential, parts] = await ways[form.dataset.passkey](form);
      const response = { clientDataJSON: spelt(credential.response.clientDataJSON), ...parts };
      form.elements.credential.value = JSON.stringify({ id: credential.id, rawId: spelt(credential.rawId), type: credential.type, response });
      form.submit();
    } catch {
      Object.assign(problem, { textContent: form.dataset.failed, hidden: false });
    }
  });
}

// Comfort only: every page works without this file.
"use strict";
const AGAIN_MS = 3000;

// What is marked live is fetched again and replaced if it changed.
async function refresh(part) {
  if (document.hidden || part.contains(document.activeElement)) return;
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
  if (!answer || !answer.ok) return;
  if (answer.redirected) return location.reload();
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(part.id);
  if (fresh && fresh.innerHTML !== part.innerHTML) part.innerHTML = fresh.innerHTML;
}
const live = document.querySelector("[data-live]");
if (live) setInterval(() => refresh(live), AGAIN_MS);

// A search box narrows the table below it.
for (const box of document.querySelectorAll("input[data-filter]")) {
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

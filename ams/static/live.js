// Keeps the overview current; without this file the page reloads itself.
"use strict";
const state = document.getElementById("state");
const lost = document.getElementById("lost");
const AGAIN_MS = 20000;

async function refresh() {
  // Never take a choice out of somebody's hand.
  if (state.contains(document.activeElement) && document.activeElement.matches("select, input")) return;
  try {
    const answer = await fetch("/state", { headers: { Accept: "text/html" } });
    if (answer.status === 403) return location.assign("/");
    state.innerHTML = await answer.text();
    lost.hidden = true;
  } catch {
    lost.hidden = false;
  }
}

const events = new EventSource("/live");
events.addEventListener("changed", refresh);
events.addEventListener("over", () => location.assign("/"));
events.onerror = () => { if (events.readyState !== EventSource.OPEN) refresh(); };
setInterval(refresh, AGAIN_MS); // what counts down counts down

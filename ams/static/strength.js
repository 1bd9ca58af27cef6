// Shows how good the first password is while it is typed; the gateway judges it again.
"use strict";
const field = document.getElementById("password");
const meter = document.getElementById("strength");
const SCORES = { too_short: 1, too_long: 1, guessable: 1, fair: 3, strong: 4 };
const PAUSE_MS = 250;
let timer;

field.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(async () => {
    meter.hidden = field.value === "";
    const body = new URLSearchParams({ password: field.value });
    const answer = await fetch("/strength", { method: "POST", body });
    if (answer.ok) meter.value = SCORES[await answer.text()] ?? 0;
  }, PAUSE_MS);
});

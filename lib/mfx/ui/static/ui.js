"use strict";
// Parts that a page leaves for later, and the choice of runs to compare. Nothing else needs a script.

const MOST = 5;

function fill(root) {
  const places = [...root.querySelectorAll("[data-part]")];
  if (root.dataset && root.dataset.part) places.unshift(root);
  for (const place of places) setTimeout(() => load(place), Number(place.dataset.after));
}

async function load(place) {
  if (document.hidden && place.childElementCount > 1) {
    document.addEventListener("visibilitychange", () => load(place), { once: true });
    return;
  }
  let text;
  try {
    const answer = await fetch(place.dataset.part);
    text = await answer.text();
    if (!answer.ok) text = new DOMParser().parseFromString(text, "text/html").querySelector("main").innerHTML;
  } catch {
    text = '<div class="callout bad"><p>mfx ui does not answer any more.</p></div>';
  }
  swap(place, text);
}

// Puts HTML in a place, and keeps what was ticked and where the keyboard was.
function swap(place, text) {
  const ticked = [...place.querySelectorAll("input:checked")].map((box) => box.value);
  const at = place.contains(document.activeElement) ? document.activeElement : null;
  const key = at && (at.value || at.getAttribute("href"));
  const holder = document.createElement("template");
  holder.innerHTML = text;
  const fresh = [...holder.content.children];
  place.replaceWith(holder.content);
  for (const one of fresh) {
    for (const box of one.querySelectorAll("input[type=checkbox]")) box.checked = ticked.includes(box.value);
    if (key) [...one.querySelectorAll("a, input")].find((e) => (e.value || e.getAttribute("href")) === key)?.focus();
    fill(one);
  }
  choose();
}

function choose() {
  const button = document.querySelector("#compare");
  if (!button) return;
  const boxes = [...document.querySelectorAll("input[name=run]")];
  const count = boxes.filter((box) => box.checked).length;
  button.disabled = count < 2;
  button.textContent = count < 2 ? "Compare: choose two" : `Compare ${count} runs`;
  for (const box of boxes) box.disabled = count >= MOST && !box.checked;
}

document.addEventListener("change", (event) => {
  if (event.target.name === "run") choose();
  if (event.target.matches("select")) event.target.form.requestSubmit();
});
fill(document);
choose();

// Search by meaning: words, and more like a sample. What is sought stands in the page's address, beside the filters.

import { make, number } from "/charts.js";

const by = (id) => document.getElementById(id);
const QUERY = ["words", "like"];

let sought = {};
let offered = { words: false, like: false };

/** What is sought: `words`, or `like` with a sid; empty where the samples are only filtered. */
export function seeking() {
  return sought;
}

export function isSeeking() {
  return Object.keys(sought).length > 0;
}

/** Take what is sought from the fields of an address. */
export function restoreSought(fields) {
  sought = {};
  for (const name of QUERY) if (fields.get(name)) sought = { [name]: fields.get(name) };
  by("meaning").elements.words.value = sought.words ?? "";
  by("nearest").hidden = !isSeeking();
}

/** A button that looks for more like a sample; null where nothing is embedded. */
export function moreLike(sid, follow) {
  if (!offered.like) return null;
  const button = make("button", { type: "button", class: "more" }, "more like this");
  button.addEventListener("click", () => follow({ like: sid }));
  return button;
}

/** Say what an answer is, and how much was searched for it. */
export function describe(found) {
  const what = sought.words ? `“${sought.words}”` : "the sample";
  const where = found.concepts === null ? "" : `, in ${number(found.probed)} of ${number(found.concepts)} concepts`;
  by("found").textContent = `${number(found.rows.length)} pictures nearest to ${what}`;
  by("nearest").firstElementChild.textContent = `${number(found.searched)} of ${number(found.of)} vectors were compared${where}.`;
}

/** Offer what the run has; `follow` goes to an address with other things sought. */
export function startMeaning(offers, follow) {
  offered = offers;
  by("meaning").hidden = !offered.words;
  by("meaning").addEventListener("submit", (event) => {
    event.preventDefault();
    const words = event.target.elements.words.value.trim();
    follow(words ? { words } : {});
  });
  by("nearest").lastElementChild.addEventListener("click", () => follow({}));
}

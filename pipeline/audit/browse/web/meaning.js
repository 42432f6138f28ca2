// Search by meaning: words, a picture, and more like a sample. What is sought stands in the page's address, beside the
// filters; but for a picture, which no address can hold.

import { make, number } from "/charts.js";

const by = (id) => document.getElementById(id);
const QUERY = ["words", "like"];

let sought = {};
let offered = { words: false, like: false, picture: false };

/** What is sought as fields of an address: `words`, or `like` with a sid; empty where the samples are only filtered. */
export function seeking() {
  return sought.picture ? {} : sought;
}

export function isSeeking() {
  return Object.keys(sought).length > 0;
}

/** The answer of the server for what is sought, among the samples that meet the filters. */
export async function found(ask, fields) {
  return sought.picture ? ask("/api/search", fields, sought.picture) : ask("/api/search", { ...fields, ...sought });
}

/** Take what is sought from the fields of an address. */
export function restoreSought(fields) {
  seek({});
  for (const name of QUERY) if (fields.get(name)) seek({ [name]: fields.get(name) });
}

function seek(what) {
  sought = what;
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
  const what = sought.words ? `“${sought.words}”` : sought.picture ? `the picture ${sought.picture.name}` : "the sample";
  const where = found.concepts === null ? "" : `, in ${number(found.probed)} of ${number(found.concepts)} concepts`;
  by("found").textContent = `${number(found.rows.length)} pictures nearest to ${what}`;
  by("nearest").firstElementChild.textContent = `${number(found.searched)} of ${number(found.of)} vectors were compared${where}.`;
}

/** Offer what the run has; `follow` goes to an address with other things sought, `search` asks again at this one. */
export function startMeaning(offers, follow, search) {
  offered = offers;
  const form = by("meaning");
  form.hidden = !offered.words && !offered.picture;
  for (const element of [form.elements.words, form.querySelector("button:not([id])")]) element.hidden = !offered.words;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const words = form.elements.words.value.trim();
    follow(words ? { words } : {});
  });
  by("nearest").lastElementChild.addEventListener("click", () => follow({}));
  if (offered.picture) takePictures((file) => { seek({ picture: file }); search(); });
  else by("choose").hidden = true;
}

/** Take a picture from the button, or one that is dropped anywhere on the page. */
function takePictures(look) {
  by("choose").addEventListener("click", () => by("file").click());
  by("file").addEventListener("change", () => {
    const [file] = by("file").files;
    by("file").value = ""; // the same file can be chosen again
    if (file) look(file);
  });
  const carries = (event) => event.dataTransfer?.types.includes("Files");
  const mark = (on) => document.body.classList.toggle("dropping", on);
  addEventListener("dragover", (event) => { if (carries(event)) { event.preventDefault(); mark(true); } });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) mark(false); });
  addEventListener("drop", (event) => {
    mark(false);
    if (!carries(event)) return;
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (file) look(file);
  });
}

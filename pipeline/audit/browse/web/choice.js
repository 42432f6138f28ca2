// Samples that a person picks, and lists of uids, one a line, that a job reads: `exclude: {list: uids.txt, on: uid}`.

import { make, number } from "/charts.js";

const by = (id) => document.getElementById(id);
const picked = new Set();

/** A box that picks a sample; what is picked stays so on other pages and with other filters. */
export function pick(row) {
  const box = make("input", { type: "checkbox", "aria-label": `pick ${row.key}` });
  box.checked = picked.has(row.uid);
  box.addEventListener("change", () => {
    if (box.checked) picked.add(row.uid);
    else picked.delete(row.uid);
    tell();
  });
  return make("label", { class: "pick" }, box, "pick");
}

function tell() {
  by("picked").hidden = !picked.size;
  by("picked").firstElementChild.textContent = `${number(picked.size)} picked`;
}

/** Offer the uids of all that meet the filters; null where the samples on the page are not all of them. */
export function offerAll(fields) {
  by("every").hidden = fields === null;
  if (fields !== null) by("every").href = `/api/uids?${new URLSearchParams(fields)}`;
}

/** Show the step by which a job reads a list that was saved: it leaves these out, or with `all_but` all others. */
function tellStep(file) {
  by("step").textContent = `- exclude: {list: ${file}, on: uid, all_but: false}`;
  by("step").hidden = false;
}

/** `shown` draws the samples again. */
export function startChoice(shown) {
  by("every").addEventListener("click", () => tellStep("uids.txt"));
  by("save").addEventListener("click", () => {
    tellStep("picked.txt");
    const list = new Blob([...picked].map((uid) => `${uid}\n`), { type: "text/plain" });
    const link = make("a", { href: URL.createObjectURL(list), download: "picked.txt" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
  by("unpick").addEventListener("click", () => {
    picked.clear();
    tell();
    shown();
    by("results").focus();
  });
}

// What cards of samples are made of: a picture, a caption, a fate in words.

import { make, number } from "/charts.js";

/** A sample's picture; `more` is asked for besides, such as the large one, or that of the other run. */
export function frame(sid, more = {}) {
  const place = make("span", { class: "frame" });
  const image = make("img", { src: `/picture?${new URLSearchParams({ sid, ...more })}`, alt: "", loading: more.large ? "eager" : "lazy" });
  image.addEventListener("error", () => place.replaceChildren("no picture"));
  place.append(image);
  return place;
}

export function caption(text) {
  return text === null || text === undefined ? make("span", { class: "none" }, "no caption") : make("bdi", { class: "caption", dir: "auto" }, text);
}

const MEASURED = { epsilon: "cosine", jaccard: "Jaccard", quota: "rank", hamming: "bits apart" };

export function fateOf(row) {
  if (row.kept) return "kept";
  const value = row.value ?? row.partner_value;
  const rule = row.rule ? ` (${MEASURED[row.rule] ?? row.rule}${value === null || value === undefined ? "" : ` ${number(value)}`})` : "";
  return `${row.step}: ${row.reason.replaceAll("_", " ")}${rule}`;
}

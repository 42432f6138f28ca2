// Groups of duplicates by size, each step's in a table. They are counted when the fold is opened first.

import { make, number } from "/charts.js";

function table(found) {
  const names = ["samples of a group", "groups", "dropped"];
  if (found.measure) names.push(`${found.measure}, weakest of a group: median`, "of all");
  const rows = found.sizes.map((sizes) => {
    const cells = [`${number(sizes.least)} to ${number(sizes.most)}`, number(sizes.groups), number(sizes.dropped)];
    if (found.measure) cells.push(number(sizes.median), number(sizes.weakest));
    return make("tr", {}, ...cells.map((cell) => make("td", {}, cell)));
  });
  const head = make("thead", {}, make("tr", {}, ...names.map((name) => make("th", { scope: "col" }, name))));
  return make("table", { class: "groups" }, head, make("tbody", {}, ...rows));
}

function shown(found) {
  return [make("h3", {}, found.step), ...found.notes.map((note) => make("p", { class: "soft" }, note)), table(found)];
}

export function startGroups(ask, complain) {
  const fold = document.getElementById("groups");
  const place = fold.querySelector("div");
  fold.addEventListener("toggle", async () => {
    if (!fold.open || place.childElementCount) return;
    place.replaceChildren(make("p", { class: "soft" }, "counting …"));
    try {
      const steps = await ask("/api/groups");
      place.replaceChildren(...(steps.length ? steps.flatMap(shown) : [make("p", { class: "soft" }, "no step found duplicates")]));
    } catch (error) {
      place.replaceChildren();
      complain(error);
    }
  });
}

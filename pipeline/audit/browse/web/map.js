// The concepts on a plane: a disc each, as large as it has samples, filled as far as they are kept. Made when its fold is
// opened first. One disc can be reached by Tab, the others from there by the arrow keys.

import { draw, make, number, share } from "/charts.js";
import { startMembers } from "/members.js";
import { walk, whole, zoomable, zoomButtons } from "/plane.js";

const by = (id) => document.getElementById(id);
const NAMED = 14; // concepts whose names stand on the plane, at most
const LETTERS = 11; // their size in pixels, however close the plane is looked at
const LARGEST = 0.07; // radius of the largest disc, where the plane goes from -1 to 1

function said(one) {
  const name = one.name ? ` (${one.name})` : "";
  return `concept ${one.cluster}${name}: ${number(one.samples)} samples, ${number(one.kept)} kept (${share(one.kept, one.samples)})`;
}

/** The plane, and zoom(times), which looks closer at it. */
function plane(found, choose) {
  const most = Math.max(1, ...found.concepts.map((one) => one.samples));
  const view = whole();
  const svg = draw("svg", { class: "plane", role: "group", "aria-label": "concepts by likeness" });
  const size = (one) => Math.max(LARGEST * Math.sqrt(one.samples / most), 0.006);
  const discs = found.concepts.map((one, i) => {
    const radius = size(one);
    const disc = draw("g", { class: "disc", tabindex: i ? -1 : 0, role: "button", "aria-label": said(one), "data-cluster": one.cluster },
      draw("title", {}, said(one)),
      draw("circle", { class: "dropped", cx: one.x, cy: one.y, r: radius }),
      draw("circle", { class: "kept", cx: one.x, cy: one.y, r: radius * Math.sqrt(one.samples ? one.kept / one.samples : 0) }));
    disc.addEventListener("focus", () => { by("about").textContent = said(one); });
    return disc;
  });
  const labels = found.concepts.filter((one) => one.name).slice(0, NAMED).map((one) =>
    draw("text", { x: one.x, y: one.y - size(one) - 0.012, "text-anchor": one.x < -0.55 ? "start" : one.x > 0.55 ? "end" : "middle" }, one.name));
  svg.append(...discs, ...labels);

  function look() {
    if (!svg.isConnected) return; // nothing has a size yet
    const width = svg.getBoundingClientRect().width || 1;
    const taken = [];
    for (const label of labels) {
      label.setAttribute("font-size", (LETTERS * 2 * view.half) / width);
      const box = label.getBBox();
      const apart = (other) => box.x > other.x + other.width || other.x > box.x + box.width || box.y > other.y + other.height || other.y > box.y + box.height;
      const free = taken.every(apart);
      if (free) taken.push(box);
      label.setAttribute("visibility", free ? "visible" : "hidden"); // that of the larger concept stands
    }
  }

  walk(found.concepts, discs, (one) => choose(one.cluster));
  const zoom = zoomable(svg, view, look);
  new ResizeObserver(look).observe(svg); // when it is shown first, too
  return [svg, zoom];
}

function shown(found, choose) {
  const [svg, zoom] = plane(found, choose);
  const all = found.of > found.concepts.length ? `The ${number(found.concepts.length)} largest of ${number(found.of)} concepts` : `${number(found.of)} concepts`;
  return [
    make("p", { class: "soft" }, `${all} of ${found.step}: what lies together is alike; the inner disc is what is kept. Wheel with Shift zooms.`),
    make("p", { class: "zoom" }, ...zoomButtons(zoom), make("output", { id: "about", "aria-live": "polite" })),
    svg,
  ];
}

/**
 * Fill the fold when it is opened; choose(cluster) shows the samples of a concept, tell(asked) a story. Returns
 * open(cluster), for the concept that the page's address names: it is marked, and opens into its samples; "" for none.
 */
export function startMap(clustered, ask, complain, choose, tell) {
  const fold = by("map");
  fold.closest("section").hidden = !clustered;
  const [place, within] = fold.querySelectorAll("div");
  const members = startMembers(within, ask, complain, tell);
  let concepts = null; // once they have been asked for
  let [named, open] = ["", ""];

  function show() {
    if (!concepts || !fold.open) return;
    for (const disc of place.querySelectorAll(".disc")) {
      if (disc.dataset.cluster === named) disc.setAttribute("aria-current", "true");
      else disc.removeAttribute("aria-current");
    }
    if (open === named) return;
    open = named;
    if (open) members(open, concepts.find((one) => String(one.cluster) === open)?.name);
    else within.replaceChildren();
  }

  fold.addEventListener("toggle", async () => {
    if (!fold.open || place.childElementCount) { show(); return; }
    place.replaceChildren(make("p", { class: "soft" }, "placing the concepts, some seconds …"));
    try {
      const found = await ask("/api/concepts");
      place.replaceChildren(...shown(found, (cluster) => { open = ""; choose(cluster); }));
      concepts = found.concepts;
      show();
    } catch (error) {
      place.replaceChildren();
      complain(error);
    }
  });
  return (cluster) => { named = cluster; show(); };
}

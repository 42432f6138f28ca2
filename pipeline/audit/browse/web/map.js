// The concepts on a plane: a disc each, as large as it has samples, filled as far as they are kept. Made when its fold is
// opened first. One disc can be reached by Tab, the others from there by the arrow keys.

import { draw, make, number, share } from "/charts.js";

const by = (id) => document.getElementById(id);
const NAMED = 14; // concepts whose names stand on the plane, at most
const LETTERS = 11; // their size in pixels, however close the plane is looked at
const LARGEST = 0.07; // radius of the largest disc, where the plane goes from -1 to 1
const WHOLE = 1.12; // half of the side of what is seen at first
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function said(one) {
  const name = one.name ? ` (${one.name})` : "";
  return `concept ${one.cluster}${name}: ${number(one.samples)} samples, ${number(one.kept)} kept (${share(one.kept, one.samples)})`;
}

/** The plane, and zoom(times), which looks closer at it. */
function plane(found, choose) {
  const most = Math.max(1, ...found.concepts.map((one) => one.samples));
  const view = { x: 0, y: 0, half: WHOLE };
  const svg = draw("svg", { class: "plane", role: "group", "aria-label": "concepts by likeness" });
  const size = (one) => Math.max(LARGEST * Math.sqrt(one.samples / most), 0.006);
  const discs = found.concepts.map((one, i) => {
    const radius = size(one);
    const disc = draw("g", { class: "disc", tabindex: i ? -1 : 0, role: "button", "aria-label": said(one), "data-cluster": one.cluster },
      draw("title", {}, said(one)),
      draw("circle", { class: "dropped", cx: one.x, cy: one.y, r: radius }),
      draw("circle", { class: "kept", cx: one.x, cy: one.y, r: radius * Math.sqrt(one.samples ? one.kept / one.samples : 0) }));
    disc.addEventListener("click", () => { hold(disc); choose(one.cluster); });
    disc.addEventListener("focus", () => { by("about").textContent = said(one); });
    disc.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(one.cluster); }
      const way = KEYS[event.key];
      const next = way && nearest(one, way);
      if (way) event.preventDefault();
      if (next) { hold(next); next.focus(); }
    });
    return disc;
  });
  const labels = found.concepts.filter((one) => one.name).slice(0, NAMED).map((one) =>
    draw("text", { x: one.x, y: one.y - size(one) - 0.012, "text-anchor": one.x < -0.55 ? "start" : one.x > 0.55 ? "end" : "middle" }, one.name));
  svg.append(...discs, ...labels);

  /** Let Tab come back to a disc. */
  function hold(disc) {
    for (const other of discs) other.setAttribute("tabindex", other === disc ? 0 : -1);
  }

  /** The disc that lies nearest in a direction, not more than 45 degrees aside. */
  function nearest(from, [right, down]) {
    let [best, distance] = [null, Infinity];
    found.concepts.forEach((one, i) => {
      const [dx, dy] = [one.x - from.x, one.y - from.y];
      const along = dx * right + dy * down;
      const aside = Math.abs(dx * down) + Math.abs(dy * right);
      if (along > 0 && aside <= along && Math.hypot(dx, dy) < distance) [best, distance] = [discs[i], Math.hypot(dx, dy)];
    });
    return best;
  }

  function look() {
    svg.setAttribute("viewBox", [view.x - view.half, view.y - view.half, 2 * view.half, 2 * view.half].join(" "));
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

  function zoom(times, x = view.x, y = view.y) {
    const half = Math.min(WHOLE, Math.max(0.02, view.half / times));
    view.x = x + (view.x - x) * (half / view.half);
    view.y = y + (view.y - y) * (half / view.half);
    view.half = half;
    if (half === WHOLE) view.x = view.y = 0;
    look();
  }

  function move(dx, dy) {
    view.x = Math.min(1, Math.max(-1, view.x - dx));
    view.y = Math.min(1, Math.max(-1, view.y - dy));
    look();
  }

  drag(svg, view, zoom, move);
  new ResizeObserver(look).observe(svg); // when it is shown first, too
  return [svg, zoom];
}

/** Zoom by the wheel with a key held, so that the page can still be scrolled; move by dragging. */
function drag(svg, view, zoom, move) {
  const scale = () => (2 * view.half) / svg.getBoundingClientRect().width;
  svg.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.shiftKey) return;
    event.preventDefault();
    const box = svg.getBoundingClientRect();
    const [x, y] = [view.x - view.half + (event.clientX - box.left) * scale(), view.y - view.half + (event.clientY - box.top) * scale()];
    zoom(event.deltaY + event.deltaX < 0 ? 1.25 : 0.8, x, y);
  }, { passive: false });
  let held = null;
  svg.addEventListener("pointerdown", (event) => { held = [event.clientX, event.clientY]; });
  addEventListener("pointermove", (event) => {
    if (!held) return;
    move((event.clientX - held[0]) * scale(), (event.clientY - held[1]) * scale());
    held = [event.clientX, event.clientY];
  });
  addEventListener("pointerup", () => { held = null; });
}

function shown(found, choose) {
  const [svg, zoom] = plane(found, choose);
  const button = (words, label, times) => {
    const made = make("button", { type: "button", "aria-label": label }, words);
    made.addEventListener("click", () => zoom(times));
    return made;
  };
  const all = found.of > found.concepts.length ? `The ${number(found.concepts.length)} largest of ${number(found.of)} concepts` : `${number(found.of)} concepts`;
  return [
    make("p", { class: "soft" }, `${all} of ${found.step}: what lies together is alike; the inner disc is what is kept. Wheel with Shift zooms.`),
    make("p", { class: "zoom" }, button("+", "closer", 1.6), button("−", "farther", 1 / 1.6), make("output", { id: "about", "aria-live": "polite" })),
    svg,
  ];
}

/** Fill the fold when it is opened; choose(cluster) shows the samples of a concept. */
export function startMap(clustered, ask, complain, choose) {
  const fold = by("map");
  fold.closest("section").hidden = !clustered;
  const place = fold.querySelector("div");
  fold.addEventListener("toggle", async () => {
    if (!fold.open || place.childElementCount) return;
    place.replaceChildren(make("p", { class: "soft" }, "placing the concepts, some seconds …"));
    try {
      place.replaceChildren(...shown(await ask("/api/concepts"), choose));
    } catch (error) {
      place.replaceChildren();
      complain(error);
    }
  });
}

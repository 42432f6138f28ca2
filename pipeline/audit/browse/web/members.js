// The samples of a concept on a plane of their own: a dot each where they are few, else a dot for a tile of many. Looking
// closer asks for smaller tiles.

import { frame } from "/cards.js";
import { draw, make, number, share } from "/charts.js";
import { walk, whole, zoomable, zoomButtons } from "/plane.js";

const SOON = 150; // milliseconds that a view stays before its tiles are asked for
const LARGEST = 0.03; // radius of the largest dot, where what is seen goes from -1 to 1
const SMALLEST = 0.009;

function said(one) {
  return one.samples === 1 ? `one sample, ${one.kept ? "kept" : "dropped"}` : `${number(one.samples)} samples, ${number(one.kept)} kept (${share(one.kept, one.samples)})`;
}

/** Returns show(cluster, name), which draws a concept's samples into `place`; tell(asked) opens a story. */
export function startMembers(place, ask, complain, tell) {
  let asked = 0;
  let waiting = 0;

  return async function show(cluster, name) {
    const view = whole();
    const svg = draw("svg", { class: "plane members", role: "group", "aria-label": `samples of concept ${cluster} by likeness` });
    const about = make("output", { "aria-live": "polite" });
    const head = make("p", { class: "soft" }, "placing the samples …");
    const seen = make("div", { class: "seen" });
    const zoom = zoomable(svg, view, () => { clearTimeout(waiting); waiting = setTimeout(fill, SOON); });
    place.replaceChildren(make("h3", {}, `Samples of concept ${cluster}${name ? `: ${name}` : ""}`), head, make("p", { class: "zoom" }, ...zoomButtons(zoom), about), make("div", { class: "beside-plane" }, svg, seen));
    clearTimeout(waiting);
    await fill();

    async function fill() {
      const mine = ++asked;
      try {
        const box = [view.x - view.half, view.y - view.half, view.x + view.half, view.y + view.half];
        const found = await ask("/api/members", { cluster, box: box.join(",") });
        if (mine !== asked) return; // another view, or concept, has been asked for since
        const some = found.placed < found.of ? `${number(found.placed)} of its ${number(found.of)} samples` : `${number(found.of)} samples`;
        head.textContent = `${some}, by the two directions in which they differ most; a dot of several opens into smaller ones.`;
        dots(found.tiles);
      } catch (error) {
        if (mine !== asked) return;
        place.replaceChildren();
        complain(error);
      }
    }

    function dots(tiles) {
      const most = Math.max(1, ...tiles.map((one) => one.samples));
      const marks = tiles.map((one) => {
        const radius = view.half * Math.max(LARGEST * Math.sqrt(one.samples / most), SMALLEST);
        const mark = draw("g", { class: "disc", role: "button", "aria-label": said(one), "data-sid": one.sid, "data-samples": one.samples },
          draw("title", {}, said(one)),
          draw("circle", { class: "dropped", cx: one.x, cy: one.y, r: radius }),
          draw("circle", { class: "kept", cx: one.x, cy: one.y, r: radius * Math.sqrt(one.kept / one.samples) }));
        const look = () => { about.textContent = said(one); seen.replaceChildren(frame(one.sid)); };
        mark.addEventListener("focus", look);
        mark.addEventListener("pointerenter", look);
        return mark;
      });
      walk(tiles, marks, (one) => (one.samples === 1 ? tell({ sid: one.sid }) : zoom(2, one.x, one.y)));
      svg.replaceChildren(...marks);
    }
  };
}

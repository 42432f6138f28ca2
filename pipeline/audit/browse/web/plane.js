// A plane from -1 to 1 that is looked at closer and moved, and its marks, of which one is reached by Tab and the others from
// there by the arrow keys.

import { make } from "/charts.js";

const WHOLE = 1.12; // half of the side of what is seen at first
const CLOSEST = 0.02;
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** A view of the whole plane: its middle, and half of its side. */
export function whole() {
  return { x: 0, y: 0, half: WHOLE };
}

/** Let a drawing be zoomed and dragged; looked() is called when the view is another. Returns zoom(times, x, y). */
export function zoomable(svg, view, looked) {
  function look() {
    svg.setAttribute("viewBox", [view.x - view.half, view.y - view.half, 2 * view.half, 2 * view.half].join(" "));
    looked();
  }

  function zoom(times, x = view.x, y = view.y) {
    const half = Math.min(WHOLE, Math.max(CLOSEST, view.half / times));
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
  look();
  return zoom;
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

/** The buttons that look closer and farther. */
export function zoomButtons(zoom) {
  return [["+", "closer", 1.6], ["−", "farther", 1 / 1.6]].map(([words, label, times]) => {
    const made = make("button", { type: "button", "aria-label": label }, words);
    made.addEventListener("click", () => zoom(times));
    return made;
  });
}

/** Let marks, each at its place (x, y), be walked by keys; act(place) is called for a click, Enter or Space. */
export function walk(places, marks, act) {
  marks.forEach((mark, i) => {
    mark.setAttribute("tabindex", i ? -1 : 0);
    mark.addEventListener("click", () => { hold(mark); act(places[i]); });
    mark.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); act(places[i]); }
      const way = KEYS[event.key];
      const next = way && nearest(places[i], way);
      if (way) event.preventDefault();
      if (next) { hold(next); next.focus(); }
    });
  });

  /** Let Tab come back to a mark. */
  function hold(mark) {
    for (const other of marks) other.setAttribute("tabindex", other === mark ? 0 : -1);
  }

  /** The mark that lies nearest in a direction, not more than 45 degrees aside. */
  function nearest(from, [right, down]) {
    let [best, distance] = [null, Infinity];
    places.forEach((one, i) => {
      const [dx, dy] = [one.x - from.x, one.y - from.y];
      const along = dx * right + dy * down;
      const aside = Math.abs(dx * down) + Math.abs(dy * right);
      if (along > 0 && aside <= along && Math.hypot(dx, dy) < distance) [best, distance] = [marks[i], Math.hypot(dx, dy)];
    });
    return best;
  }
}

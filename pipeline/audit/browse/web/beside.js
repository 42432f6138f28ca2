// Another run beside this one: pairs of fates that differ, and the samples of a pair with both verdicts. What is shown
// stands in the page's address as `moved`: the two fates, with ~ between them.

import { caption, fateOf, frame } from "/cards.js";
import { make, number } from "/charts.js";

const by = (id) => document.getElementById(id);
const OTHER = { run: "other" };

let shown = null; // the fates of the pair that is shown
let open = () => {};

/** What is shown, as fields of an address. */
export function besideFields() {
  return shown ? { moved: shown.join("~") } : {};
}

/** Show what an address names. */
export function restoreBeside(fields) {
  const named = fields.get("moved");
  open(named?.includes("~") ? named.split("~", 2) : null);
}

/** The verdict of one run on a sample; `tell` opens its story there. */
function verdict(name, side, more, tell) {
  if (!side) return make("figure", {}, make("figcaption", {}, make("b", {}, name)), make("span", { class: "none" }, "not there"));
  const story = make("button", { type: "button" }, "its story");
  story.addEventListener("click", () => tell({ sid: side.sid, ...more }));
  const because = side.other && [make("span", { class: "soft" }, "because of ", make("bdi", {}, side.other.key)), frame(side.other.sid, more)];
  return make("figure", { class: side.kept ? "was-kept" : "was-dropped" },
    make("figcaption", {}, make("b", {}, name)), make("span", { class: "fate" }, fateOf(side)), ...(because ?? []), story);
}

function card(row, other, tell) {
  const [own, more] = row.before ? [row.before, {}] : [row.after, OTHER];
  return make("li", {}, make("div", { class: "own" }, frame(own.sid, more), caption(own.text), make("span", { class: "soft" }, own.key)),
    verdict("this run", row.before, {}, tell), verdict(other, row.after, OTHER, tell));
}

/** Fill the fold when it is opened. changed() is called when the address is to name something else; tell(asked) opens a story. */
export function startBeside(other, ask, changed, complain, tell) {
  const fold = by("beside");
  fold.closest("section").hidden = !other;
  if (!other) return;
  const name = other.replace(/\/+$/, "").split("/").at(-1);
  const [pairs, list, nav] = [by("pairs"), by("moved-samples"), by("moved-pages")];
  const [back, next] = nav.querySelectorAll("button");
  const summary = fold.querySelector("summary");
  summary.textContent = `Beside ${name}: samples with another fate there`;
  summary.title = other;
  let places = ["0"];
  let asked = 0;
  let buttons = null; // of each pair, once they have been asked for

  /** A fate, "STEP: REASON", as cards have it. */
  const inWords = (fate) => (fate === null ? "not there" : fate.replace(/: .*/, (reason) => reason.replaceAll("_", " ")));

  /** The pairs of fates, a button each. */
  async function fill() {
    if (buttons) return;
    buttons = new Map();
    pairs.replaceChildren(make("li", { class: "soft" }, "comparing …"));
    try {
      const moves = await ask("/api/moves");
      for (const { before, after, samples } of moves) {
        const button = make("button", { type: "button", "aria-pressed": "false" }, `${inWords(before)} → ${inWords(after)} `, make("b", {}, number(samples)));
        button.addEventListener("click", () => choose([before ?? "", after ?? ""]));
        buttons.set(`${before ?? ""}~${after ?? ""}`, button);
      }
      pairs.replaceChildren(...(moves.length ? [...buttons.values()].map((button) => make("li", {}, button)) : [make("li", { class: "soft" }, "no sample has another fate")]));
    } catch (error) {
      buttons = null;
      pairs.replaceChildren();
      complain(error);
    }
  }

  function choose(fates) {
    [shown, places] = [fates, ["0"]];
    changed();
    show();
  }

  async function show() {
    const mine = ++asked;
    await fill();
    for (const [pair, button] of buttons ?? []) button.setAttribute("aria-pressed", pair === shown?.join("~"));
    nav.hidden = !shown;
    if (!shown) { list.replaceChildren(); return; }
    try {
      const found = await ask("/api/moved", { before: shown[0], after: shown[1], place: places.at(-1) });
      if (mine !== asked) return; // something else has been chosen since
      list.replaceChildren(...found.rows.map((row) => card(row, name, tell)));
      back.disabled = places.length === 1;
      next.disabled = !found.more;
      next.dataset.after = found.rows.at(-1)?.place ?? "0";
      nav.querySelector("span").textContent = `page ${places.length}`;
    } catch (error) {
      list.replaceChildren();
      complain(error);
    }
  }

  open = (fates) => {
    if (fates?.join("~") === shown?.join("~")) return;
    [shown, places] = [fates, ["0"]];
    if (shown && !fold.open) fold.open = true; // and so it is filled
    else if (fold.open) show();
  };
  fold.addEventListener("toggle", () => { if (fold.open) show(); });
  back.addEventListener("click", () => { places.pop(); show(); });
  next.addEventListener("click", () => { places.push(next.dataset.after); show(); });
}

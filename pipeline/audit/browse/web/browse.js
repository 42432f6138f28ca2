// The browser page: filters, pages of samples, stories. Captions are data: they only ever become text nodes.

import { besideFields, restoreBeside, startBeside } from "/beside.js";
import { caption, fateOf, frame } from "/cards.js";
import { bar, make, number, share } from "/charts.js";
import { offerAll, pick, startChoice } from "/choice.js";
import { startGroups } from "/groups.js";
import { startMap } from "/map.js";
import { describe, found as sought, isSeeking, moreLike, restoreSought, seeking, startMeaning } from "/meaning.js";
import { startThresholds } from "/thresholds.js";

const by = (id) => document.getElementById(id);
const filters = by("filters");
let pages = [""];
let asked = 0; // pages, so far
let turning = false; // a page has been asked for, and is not there
let counting = null; // the filters that are being counted
let counted = null; // the filters that the counts on the page are of
let opened = {}; // the story that is open, by `story`
let rows = []; // the samples on the page
let thresholds = [];
let openConcept = () => {}; // on the map, once there is one

/** The server's answer to a question; with a picture that goes along. */
async function ask(path, fields = {}, picture = null) {
  const sent = picture && { method: "POST", body: picture, headers: { "Content-Type": "application/octet-stream" } };
  const answer = await fetch(`${path}?${new URLSearchParams(fields)}`, ...(sent ? [sent] : []));
  const value = await answer.json();
  if (!answer.ok) throw new Error(value.error);
  return value;
}

function complain(error) {
  by("problem").textContent = error ? error.message : "";
  by("problem").hidden = !error;
}

function chosen() {
  const fields = {};
  for (const [name, value] of new FormData(filters)) if (value !== "") fields[name] = value;
  return fields;
}

const ORDER = ["sort", "order"];

/** The fields that choose samples, and not their order. */
function choosing(fields) {
  return Object.fromEntries(Object.entries(fields).filter(([name]) => !ORDER.includes(name)));
}

function busy() {
  if (turning || counting !== null) by("results").setAttribute("aria-busy", "true");
  else by("results").removeAttribute("aria-busy");
}

/** The address says what is seen: filters, what is sought, and the open story. */
function address(fields) {
  return `#${new URLSearchParams({ ...fields, ...seeking(), ...besideFields(), ...opened })}`;
}

/** Seek something else, among the same filters; the browser's Back leads here again. */
function follow(sought) {
  opened = {};
  by("story").close();
  go({ ...chosen(), ...sought });
}

/** To another address; where it is this one, for a picture is sought that no address holds, as if it were another. */
function go(fields) {
  clearTimeout(waiting); // filters that were typed just before are left, and would put their own address in this one's place
  const hash = `#${new URLSearchParams(fields)}`;
  if (hash === (location.hash || "#")) { restore(); restart(); } else location.hash = hash;
}

/** Say which threshold's samples are shown. */
function tellFlips(flips) {
  by("flipped").hidden = !flips;
  if (!flips) return;
  const [way, step, side, value, ...signal] = flips.split("~");
  const moved = thresholds.find((one) => one.step === step && (one.side ?? "") === side && (one.signal ?? "") === signal.join("~"));
  by("flipped").firstElementChild.textContent = `${moved?.path ?? step} = ${value}: what it would ${way === "in" ? "let pass that is dropped now" : "drop that passes now"}.`;
}

async function search() {
  const mine = ++asked;
  const fields = chosen();
  history.replaceState(null, "", address(fields));
  if (counting !== JSON.stringify(choosing(fields))) counting = null; // what comes of it is of other filters
  const filtering = Object.keys(choosing(fields)).length;
  tellFlips(fields.flips);
  offerAll(isSeeking() ? null : choosing(fields));
  by("folded").textContent = filtering ? `Filters (${filtering})` : "Filters"; // where they are folded, they are out of sight
  turning = true;
  busy();
  try {
    const found = isSeeking() ? await sought(ask, choosing(fields)) : await ask("/api/samples", { ...fields, after: pages.at(-1) });
    if (mine !== asked) return; // a later question has been asked since
    complain(null);
    show(found);
    if (isSeeking()) {
      uncount("");
      [counting, counted] = [null, null];
      describe(found);
    } else {
      count(choosing(fields), found.counts);
    }
  } catch (error) {
    if (mine !== asked) return;
    complain(error);
    show({ rows: [], more: false }); // nothing stays that is of other filters
    uncount("no answer");
    counted = null;
  }
  turning = false;
  busy();
}

// All that meet a filter are counted once, after the first page of them is there; pages can be turned meanwhile.
async function count(fields, known) {
  const filter = JSON.stringify(fields);
  if (filter === counted || filter === counting) return;
  [counting, counted] = [filter, null];
  if (!known) uncount("counting …");
  busy();
  try {
    const counts = known ?? await ask("/api/counts", fields);
    if (counting !== filter) return;
    counted = filter;
    tally(counts);
  } catch (error) {
    if (counting !== filter) return;
    uncount("not counted");
    complain(error);
  }
  counting = null;
  busy();
}

function uncount(words) {
  by("found").textContent = words;
  by("share").replaceChildren();
  by("fates").replaceChildren();
}

function tally(counts) {
  by("found").textContent = `${number(counts.found)} samples, ${number(counts.kept)} kept`;
  by("share").replaceChildren(bar([["kept", counts.kept], ["dropped", counts.found - counts.kept]], counts.found));
  by("fates").replaceChildren(...counts.fates.slice(0, 12).map((fate) => {
    const button = make("button", { type: "button" }, `${fate.step}: ${fate.reason.replaceAll("_", " ")} `, make("b", {}, number(fate.samples)));
    button.addEventListener("click", () => { filters.step.value = fate.step; filters.reason.value = fate.reason; restart(); });
    return make("li", {}, button);
  }));
}

function show(found) {
  rows = found.rows;
  by("samples").replaceChildren(...rows.map(card));
  by("page").textContent = `page ${pages.length}`;
  by("back").disabled = pages.length === 1;
  by("next").disabled = !found.more;
  by("next").dataset.after = found.rows.length ? found.rows.at(-1).sid : "";
}

function restart() {
  pages = [""];
  openConcept(filters.cluster.value);
  search();
}

function card(row) {
  const place = row.cluster === null ? "" : `concept ${row.cluster}${row.rank === null ? "" : `, rank ${number(row.rank)}`}`;
  const sorted = row.sorted_by === undefined ? null : make("span", { class: "soft" }, `${filters.sort.value} ${number(row.sorted_by)}`);
  const button = make("button", { type: "button", class: row.kept ? "sample was-kept" : "sample was-dropped" },
    frame(row.sid), caption(row.text), make("span", { class: "fate" }, row.cosine === undefined ? fateOf(row) : `${row.cosine.toFixed(3)} ${fateOf(row)}`), sorted, make("span", { class: "soft" }, place));
  button.addEventListener("click", () => tell({ sid: row.sid }));
  return make("li", {}, button, make("div", { class: "under" }, moreLike(row.sid, follow), pick(row)));
}

async function tell(asked) {
  try {
    const story = await ask("/api/story", asked);
    complain(null);
    const run = asked.run ? { run: asked.run } : {};
    const parts = story.found === 1 ? one(story.samples[0], run) : several(story);
    by("told").replaceChildren(...parts);
    opened = story.found === 1 ? { story: story.samples[0].sid, ...run } : {};
    history.replaceState(null, "", address(chosen()));
    if (!by("story").open) by("story").showModal();
    by("story").scrollTop = 0;
  } catch (error) {
    complain(error);
  }
}

function several(story) {
  by("title").textContent = `${number(story.found)} samples have that name`;
  return [make("ul", { class: "several" }, ...story.samples.map((sample) => {
    const button = make("button", { type: "button" }, `${sample.uid} in ${sample.source}: ${sample.fate}`);
    button.addEventListener("click", () => tell({ sid: sample.sid }));
    return make("li", {}, button);
  }))];
}

/** A sample's story; `run` names the run that tells it, where it is the other one. */
function one(sample, run) {
  by("title").textContent = `${sample.key}: ${sample.fate}${run.run ? ", in the other run" : ""}`;
  const pictures = make("div", { class: "side" }, ...sample.pictures.map((picture) => {
    const own = picture.role === "sample";
    const fate = own || picture.kept === undefined ? "" : picture.kept ? ", kept" : `, dropped by ${picture.step}`;
    const head = make("figcaption", {}, make("b", {}, picture.role), fate);
    const figure = make("figure", { class: picture.kept ? "was-kept" : "was-dropped" }, head, frame(picture.sid, { large: 1, ...run }), caption(own ? sample.text : picture.text));
    if (!own) {
      const button = make("button", { type: "button" }, "its story");
      button.addEventListener("click", () => tell({ sid: picture.sid, ...run }));
      figure.append(button);
    }
    return figure;
  }));
  const facts = [["uid", sample.uid], ["from", sample.source], ["url", sample.url]];
  if (sample.shard_key) facts.push(["written", `shard ${sample.shard}, ${sample.shard_key}`]);
  const list = make("dl", {}, ...facts.filter(([, value]) => value).flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, String(value))]));
  const steps = make("ol", { class: "steps" }, ...sample.steps.map((step) =>
    make("li", { class: step.outcome.replaceAll(" ", "-") }, make("b", {}, step.step), make("span", { class: "outcome" }, step.outcome),
      ...step.lines.map((line) => make("div", { dir: "auto" }, line)))));
  return [pictures, run.run ? "" : moreLike(sample.sid, follow) ?? "", list, steps];
}

function fill(run) {
  by("name").textContent = run.name;
  document.title = `${run.name}: tamis browse`;
  by("account").textContent = `${number(run.rows_in)} in = ${number(run.kept)} kept (${share(run.kept, run.rows_in)}) + ${number(run.dropped)} dropped`;
  for (const step of run.steps) filters.step.append(make("option", { value: step.step }, step.step));
  for (const { reason, meaning } of run.reasons) filters.reason.append(make("option", { value: reason, title: meaning }, reason.replaceAll("_", " ")));
  for (const source of run.sources) by("sources").append(make("option", { value: source }));
  by("by-cluster").hidden = !run.clustered;
  thresholds = run.thresholds;
  for (const signal of run.signals) {
    filters.sort.append(make("option", { value: signal.name }, signal.name));
    const ends = ["min", "max"].map((side) => make("input", { type: "number", step: "any", name: `${side}.${signal.name}`, placeholder: number(signal[side]), "aria-label": `${signal.name}, ${side}` }));
    by("ranges").append(make("div", { class: "range" }, make("span", {}, signal.name), ...ends));
  }
}

/** Filters, what is sought, and the story as the address has them. */
function restore() {
  const fields = new URLSearchParams(location.hash.slice(1));
  for (const field of filters.elements) if (field.name) field.value = "";
  for (const [name, value] of fields) {
    const field = filters.elements.namedItem(name);
    if (field) field.value = value;
  }
  restoreSought(fields);
  restoreBeside(fields);
  opened = {};
  if (fields.get("story")) tell({ sid: fields.get("story"), ...(fields.get("run") ? { run: fields.get("run") } : {}) });
  else by("story").close();
}

/** To another page, once this one is there. */
function turn(change) {
  if (turning) return;
  change();
  search();
  by("results").scrollIntoView();
}

// On a narrow screen the filters would push the samples out of sight; on a wide one they stand beside them.
const narrow = matchMedia("(max-width: 50rem)");
const fold = () => { by("fold").open = !narrow.matches; };
narrow.addEventListener("change", fold);
fold();

let waiting = 0;
filters.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(restart, 250); });
filters.addEventListener("reset", () => setTimeout(restart));
filters.addEventListener("submit", (event) => { event.preventDefault(); restart(); });
by("next").addEventListener("click", () => turn(() => pages.push(by("next").dataset.after)));
by("back").addEventListener("click", () => turn(() => pages.pop()));
addEventListener("hashchange", () => { restore(); restart(); });
by("close").addEventListener("click", () => by("story").close());
by("story").addEventListener("close", () => { if (!opened.story) return; opened = {}; history.replaceState(null, "", address(chosen())); });
by("lookup").addEventListener("submit", (event) => { event.preventDefault(); const name = event.target.elements.name.value.trim(); if (name) tell({ name }); });

try {
  const run = await ask("/api/run");
  fill(run);
  startMeaning(run.meaning, follow, restart);
  startChoice(() => by("samples").replaceChildren(...rows.map(card)));
  by("flipped").lastElementChild.addEventListener("click", () => go({}));
  startBeside(run.beside, ask, () => history.replaceState(null, "", address(chosen())), complain, tell);
  restore();
  search();
  startThresholds(run.thresholds, ask, (flips) => go({ flips }));
  startGroups(ask, complain);
  openConcept = startMap(run.clustered, ask, complain, (cluster) => { filters.cluster.value = cluster; restart(); }, tell);
  openConcept(filters.cluster.value);
} catch (error) {
  complain(error);
}

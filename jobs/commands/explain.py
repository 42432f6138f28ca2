"""``tamis explain``."""

from __future__ import annotations

import math
from typing import Any

from rich.table import Table
from rich.text import Text

from tamis.jobs.cli.finished_run import opened
from tamis.jobs.terminal import display, inline_pictures
from tamis.jobs.terminal.pages import check_page, write_page
from tamis.pipeline.audit.reading.finished_run import FinishedRun
from tamis.pipeline.audit.story.story import Story, padded_key, stories, tell
from tamis.pipeline.results.shards import shard_name
from tamis.schemas.errors import InputError, JobError

CAPTION = 300
"""Most characters of a caption."""

STYLES = {
    "dropped": "bold red",
    "passed": "green",
    "written": "green",
    "not reached": "dim",
    "computed": "default",
}


def in_words(story: Story) -> Story:
    """A story with its printed words: ``fate``, ``facts`` (name, value), and each step's ``lines``."""
    read = story["read"] or {}
    steps = [
        {**step, "lines": [display.plain(line) for line in step_lines(step, read)]}
        for step in story["steps"]
    ]
    facts = [(name, display.plain(value)) for name, value in _facts(story)]
    return {**story, "fate": fate_of(story), "facts": facts, "steps": steps}


def explain_sample(path: str, name: str, *, count: int, json: bool, html: str | None) -> None:
    """Show the story of the sample with a uid, key or URL; list several, or write them into the file ``html``.

    Raises:
        InputError: no sample has that uid, key or URL.
        JobError: an empty name, or both --json and --html.
        StateError: no finished run.
    """
    if not name:
        raise JobError("SAMPLE is empty: name a uid, a key or a URL")
    if json and html is not None:
        raise JobError("--json and --html are two answers: ask for one at a time")
    run = opened(path)
    if html is not None:
        check_page(html)
    total, samples = stories(run, name, count)
    if not total and (key := padded_key(run, name)) is not None:
        display.note(f"no sample is called {name}: this is the one with the key {key}")
        total, samples = stories(run, key, count)
    if not total:
        raise InputError(
            f"{name}: no sample of this run has that uid, key or URL "
            f"(tamis audit {path} --sql \"SELECT uid, key FROM ledger WHERE text ILIKE '%word%'\" looks further)"
        )
    if html is not None:
        _write_page(run, samples, total, html)
    elif json:
        display.echo(
            display.as_json({"run": run.root, "name": name, "found": total, "samples": samples})
        )
    elif total == 1:
        _print_story(samples[0])
        inline_pictures.show_pictures(run, samples[0])
    else:
        # Several samples of the input may have one uid, which names the one that ingest kept.
        named = run.named(name.lower())
        how = "explain one by its uid" if named is None else "the one that it stands for follows"
        _list(samples, total, count, how)
        if named is not None:
            display.echo()
            _print_story(tell(run, named))


def _write_page(run: FinishedRun, samples: list[Story], total: int, path: str) -> None:
    from tamis.pipeline.audit.story.page import story_page

    write_page(path, story_page(run, [in_words(story) for story in samples], total))


def _list(samples: list[Story], total: int, count: int, how: str) -> None:
    out = display.console()
    out.print(f"{display.count(total)} samples have that name; {how}:")
    display.print_table(
        out,
        display.table(
            [("uid", "left"), ("source", "left"), ("key", "left"), ("fate", "left")],
            [(story["uid"], story["source"], story["key"], fate_of(story)) for story in samples],
        ),
    )
    if total > len(samples):
        out.print(f"the first {display.count(count)}; -n {total} lists all")


def fate_of(story: Story) -> str:
    """A sample's fate in a few words."""
    if story["kept"]:
        return "kept"
    (step,) = [step for step in story["steps"] if step["outcome"] == "dropped"]
    failed = [rule for rule in step.get("rules", ()) if rule["rule"] == step.get("rule")]
    why = _rule_line(failed[0]) if failed else step["reason"]
    return f"dropped by {story['dropped_by']}: {why}"


def _print_story(story: Story) -> None:
    out = display.console()
    out.print(
        Text(display.plain(f"{story['key'] or story['uid']}: {fate_of(story)}"), style="bold")
    )
    out.print()
    facts = Table.grid(padding=(0, 2))
    for name, text in _facts(story):
        facts.add_row(Text(display.plain(name), style="dim"), Text(display.plain(text)))
    display.print_table(out, facts)
    out.print()
    steps = Table.grid(padding=(0, 2))
    for step in story["steps"]:
        outcome = step["outcome"]
        lines = [display.plain(line) for line in step_lines(step, story["read"] or {})]
        steps.add_row(
            Text(step["step"]), Text(outcome, style=STYLES[outcome]), Text("\n".join(lines))
        )
    display.print_table(out, steps)
    if story["shard_key"] is not None:
        out.print()
        tier, mark, _ = story["shard_key"].rpartition("-")
        shard = shard_name(story["shard"], tier) if mark else story["shard"]
        out.print(f"written to shard {shard} as {story['shard_key']}")


def _facts(story: Story) -> list[tuple[str, str]]:
    facts = [("uid", story["uid"]), ("from", _location(story))]
    read = story["read"] or {}
    if "width" in read and "height" in read:  # an input's own columns may hold either alone
        sides = f"{read['width']} x {read['height']} pixels"
        size = f", {display.size(read['image_size'])}" if "image_size" in read else ""
        picture = (
            f"{read['image_format']}, {sides}{size}"
            if "image_format" in read
            else f"{sides} by the input"
        )
        facts.append(("picture", picture))
    if "sha256" in read:
        facts.append(("sha256", read["sha256"]))
    if story["url"] is not None:
        facts.append(("url", story["url"]))
    if story["text"] is not None:
        facts.append(("caption", display.plain(story["text"], CAPTION)))
    return facts


def _location(story: Story) -> str:
    source, where = story["source"], story["where"]
    if source.endswith("/") and where:  # a folder, and the name of a file in it
        return f"{source.removesuffix('./')}{where}"
    return ", ".join(filter(None, (source, where)))


def step_lines(step: dict[str, Any], read: dict[str, Any]) -> list[str]:
    """Lines about a step's values and decision; ``read`` holds the columns of ingest."""
    lines = []
    if "meaning" in step:
        lines.append(f"{step['reason']}: {step['meaning']}")
    if "message" in step:
        at = f" (at byte {display.count(step['error_offset'])})" if "error_offset" in step else ""
        lines.append(f"{step['message']}{at}")
    lines += [_rule_line(rule) for rule in step.get("rules", ())]
    lines += _signal_lines(step)
    if "place" in step:
        lines += _place_lines(step["place"])
    if "partner" in step:
        lines += _partner_lines(step, read)
    elif "survivor" in step:
        lines.append(f"survivor {_sample_line(step['survivor'])}")
    elif _decided_by_value(step):
        bound = f", bound {display.number(step['bound'])}" if "bound" in step else ""
        lines.append(f"{step.get('rule', 'value')} {display.number(step['value'])}{bound}")
    if "passes_with" in step:
        # Quotas are rounded, and a larger budget may give a concept one sample less: a smaller one may do too.
        # So may a bound that still has edges to samples which fall themselves.
        mends = step["passes_with"]
        sure = any("samples" in mend or mend.get("sufficient") for mend in mends)
        lines.append(
            f"passes {'for certain ' * sure}with {' and '.join(_mend(mend) for mend in mends)}"
        )
    if "then" in step:
        lines.append(_then_line(step["then"]))
    return lines


def _signal_lines(step: dict[str, Any]) -> list[str]:
    """A line with the signals that a step computed, but for those whose values its decision's lines have."""
    said = {rule["rule"] for rule in step.get("rules", ())}
    if _decided_by_value(step):
        said.add(step.get("rule"))
    values = {name: value for name, value in step.get("signals", {}).items() if name not in said}
    line = ", ".join(f"{name} {_value(value)}" for name, value in values.items())
    return [line] if line else []


def _value(value: float | str | bool | None) -> str:
    """A signal's value; a text that would not be seen, or not where it ends, in quotation marks."""
    unseen = isinstance(value, str) and (not value.strip() or "," in value)
    return f'"{value}"' if unseen else display.number(value)


def _decided_by_value(step: dict[str, Any]) -> bool:
    """Whether a step dropped the sample by a value of its own: by no bound of the job's, place or other sample."""
    return "value" in step and not any(
        key in step for key in ("rules", "place", "partner", "survivor")
    )


def _then_line(then: dict[str, Any]) -> str:
    """A line about the later step that would drop the sample if this one let it pass."""
    unseen = ", ".join(then["unseen"])
    if then["step"] is None:
        never = "they never" if len(then["unseen"]) > 1 else "it never"
        known = f"whether {unseen} would let it pass is unknown: {never} saw it"
        return known if unseen else "with all others as they are, no later step would take it"
    why = "; ".join(_rule_line(rule) for rule in then["rules"]) or "beyond its concept's quota"
    unless = f", unless {unseen} did before" if unseen else ""
    return f"then {then['step']} would take it: {why}{unless}"


def _mend(mend: dict[str, Any]) -> str:
    samples = f" ({display.count(mend['samples'])} samples)" if "samples" in mend else ""
    if mend.get("by_lot"):
        samples += " and the same seed"
    value = mend["value"]
    exact = repr(value) if isinstance(value, float) and not value.is_integer() else _value(value)
    return f"{mend['setting']} {mend['relation']} {exact}{samples}"


def _rule_line(rule: dict[str, Any]) -> str:
    value = _value(rule["value"])
    if rule["value"] is None or (isinstance(rule["value"], float) and math.isnan(rule["value"])):
        verdict = "kept without a value" if rule["passes"] else "a value is needed"
        return f"{rule['rule']}: {verdict}"
    if "in" in rule:
        among = ", ".join(map(_value, rule["in"]))
        return f"{rule['rule']} {value} {'is' if rule['passes'] else 'is NOT'} in {among}"
    bounds = []  # compared in the signal's own digits: .7 of 32 bits, a little less than .7, is not below it
    if "min" in rule:
        below = not rule["passes"] and float(rule["value"]) < rule["min"]
        bounds.append(
            f"{'<' if below else '>='} {display.number(rule['min'])}{', too low' if below else ''}"
        )
    if "max" in rule:
        above = not rule["passes"] and float(rule["value"]) > rule["max"]
        bounds.append(
            f"{'>' if above else '<='} {display.number(rule['max'])}{', too high' if above else ''}"
        )
    return f"{rule['rule']} {value} {' and '.join(bounds)}"


def _place_lines(place: dict[str, Any]) -> list[str]:
    name = f" ({place['name']})" if place.get("name") else ""
    lines = [
        f"cluster {place['cluster']}{name}, distance to its centroid {display.number(place['distance'])}"
    ]
    if "complexity" in place:
        lines.append(
            f"complexity {display.number(place['complexity'])} = d_inter {display.number(place['d_inter'])} "
            f"x d_intra {display.number(place['d_intra'])}"
        )
    if place["rank"] is not None:
        of = f" of {display.count(place['size'])}" if "size" in place else ""
        ranked, by_lot = ("place", " by lot") if place.get("by_lot") else ("rank", "")
        lines.append(
            f"{ranked} {display.count(place['rank'])}{of}{by_lot}; its concept keeps {display.count(place['quota'])}"
        )
    return lines


def _partner_lines(step: dict[str, Any], read: dict[str, Any]) -> list[str]:
    partner, survivor = step["partner"], step.get("survivor")
    measure = step.get("measure")
    alike = ""
    if measure and "partner_value" in step:
        bound = f", bound {display.number(step['bound'])}" if "bound" in step else ""
        alike = f" ({measure} {display.number(step['partner_value'])}{bound})"
    lines = [f"partner {_sample_line(partner)}{alike}"]
    if measure and "phash" in read and "phash" in partner:
        apart = (int(read["phash"], 16) ^ int(partner["phash"], 16)).bit_count()
        lines.append(f"their pictures' perceptual hashes are {apart} of 64 bits apart")
    if survivor is not None and survivor["uid"] != partner["uid"]:
        lines.append(f"survivor of its group {_sample_line(survivor)}")
    return lines


def _sample_line(other: dict[str, Any]) -> str:
    if "key" not in other:
        return str(other["uid"])
    fate = "kept" if other["kept"] else f"dropped by {other['step']}: {other['reason']}"
    caption = f' "{display.plain(other["text"], 80)}"' if other["text"] else ""
    return f"{other['key']} in {other['source']}, {fate}{caption}; uid {other['uid']}"

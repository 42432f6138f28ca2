"""What `mkdocs build` does beside its own: pages from the program itself, and links out of this folder as names.

On a forge a page may link to a file of the repository, which the built pages do not have.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from tamis.jobs.job_files.reference import signals_page, steps_page

OUTSIDE = re.compile(r"\[([^\]]+)\]\((\.\./[^)#\s]+)[^)]*\)")

ROOT = Path(__file__).resolve().parents[1]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made of the program."""
    for name, text in (("steps.md", steps_page()), ("signal-list.md", signals_page())):
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """A link to a file outside this folder becomes the file's name."""
    del page
    return OUTSIDE.sub(_named, markdown)


def _named(link: re.Match[str]) -> str:
    path = link[2].removeprefix("../")
    if not (ROOT / path).exists():
        raise FileNotFoundError(f"a page links to {path}, which is not there")
    return link[1] if link[1].strip("`") == path else f"{link[1]} (`{path}`)"

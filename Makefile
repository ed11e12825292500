# One venv, one command for each thing a developer or newcomer does.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready-to-run
DEVELOP := $(VENV)/.ready-to-develop
AWS_VENV ?= .venv-aws
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PURE := daemon/tiphys/spec daemon/tiphys/expressions daemon/tiphys/manifests daemon/tiphys/scheduler
CONFORMANCE ?= ../shared/conformance
EXAMPLE ?= examples/fan-out.yaml
ARGS ?=
FUZZ_SECONDS ?= 600
API_CALLS ?= 10000
API_SEED ?= 1
TORTURE_MINUTES ?= 10
TORTURE_SEED ?=
TORTURE_KILLS ?=
SOAK_MINUTES ?= 120
SOAK_SEED ?=

# Where `make install` puts things; DESTDIR goes in front of all of it.
DESTDIR ?=
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
LIBDIR := $(PREFIX)/lib/tiphys
BINDIR := $(PREFIX)/bin
DOCDIR := $(PREFIX)/share/doc/tiphys
# systemd looks below these two only, whatever the prefix is.
SHARED := $(if $(filter /usr,$(PREFIX)),/usr/lib,/usr/local/lib)
UNITDIR ?= $(SHARED)/systemd/system
USER_UNITDIR ?= $(SHARED)/systemd/user
UNITS := tiphysd.service tiphys-launcher.service tiphysd.socket

.PHONY: help run setup aws test check format conformance fuzz api-fuzz torture bench soak plot clean install uninstall install-user uninstall-user program units

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' Makefile | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

run: $(READY) ## set up if need be, then run the main example (EXAMPLE=FILE, ARGS='-p k=v')
	@$(BIN)/tiphys run $(EXAMPLE) $(ARGS)

setup: $(DEVELOP) ## make or refresh the virtual environment in .venv, with what tests and checks need

$(READY): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) ..."
	@$(PIP) --editable .
	@touch $@

$(DEVELOP): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV), with what tests and checks need ..."
	@$(PIP) --editable '.[dev]'
	@touch $@ $(READY)

# It pins another botocore than aiobotocore does, so it cannot be in the same environment.
aws: $(AWS_VENV)/bin/aws ## the `aws` command, which some acceptance tests need, in an environment of its own

$(AWS_VENV)/bin/aws:
	@test -x $(AWS_VENV)/bin/python || $(PYTHON) -m venv $(AWS_VENV)
	@echo "installing the aws command into $(AWS_VENV) ..."
	@$(AWS_VENV)/bin/python -m pip install --quiet --disable-pip-version-check 'awscli>=1.40,<2'

# Many tests measure time, and two at once disturb each other on a small machine: what failed is tried once more, alone, and must pass then.
test: $(DEVELOP) ## all tests (ARGS='tests/cli -k tree')
	$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS) || \
	    { echo "what failed is tried once more, alone"; $(BIN)/python -m pytest --last-failed --last-failed-no-failures none $(ARGS); }

check: $(DEVELOP) ## style, types, floors
	$(BIN)/ruff check .
	$(BIN)/ruff check --config daemon/pure-floors.toml $(PURE)
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(DEVELOP) ## put the code into the project's form
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

conformance: $(DEVELOP) ## the conformance corpus, where it is there (ARGS='--id "ex--dag-*" -v')
	@if [ -f $(CONFORMANCE)/run_conformance.py ]; then \
	    sh $(CONFORMANCE)/shims/setup.sh --root && \
	    PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python tests/conformance/judged.py $(CONFORMANCE) --jobs 2 $(ARGS); \
	else \
	    echo "there is no conformance corpus at $(CONFORMANCE); nothing was run"; \
	fi

fuzz: $(DEVELOP) ## FUZZ_SECONDS (600): half for generated workflows with and without crashes, the rest for random walks, parser, expressions
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(PIP) --editable '.[fuzz]'
	TIPHYS_FUZZ_SECONDS=$$(($(FUZZ_SECONDS) / 2)) $(BIN)/python -m pytest tests/generated -q -k long $(ARGS)
	TIPHYS_FUZZ_SECONDS=$$(($(FUZZ_SECONDS) / 6)) $(BIN)/python -m pytest tests/scheduler -q -k long $(ARGS)
	$(BIN)/python tests/fuzz/hunt.py manifests $$(($(FUZZ_SECONDS) / 6))
	$(BIN)/python tests/fuzz/hunt.py expressions $$(($(FUZZ_SECONDS) / 6))

api-fuzz: $(DEVELOP) ## API_CALLS (10000) calls drawn from the served OpenAPI document: no 5xx, no hang (API_SEED=7)
	$(BIN)/python tests/fuzz/api.py $(API_CALLS) $(API_SEED)

torture: $(DEVELOP) ## kill daemons for TORTURE_MINUTES (10) and judge what is left (TORTURE_SEED=7, TORTURE_KILLS=2000)
	@TORTURE_MINUTES=$(TORTURE_MINUTES) TORTURE_SEED=$(TORTURE_SEED) TORTURE_KILLS=$(TORTURE_KILLS) PYTHONPATH=$(CURDIR):$(CURDIR)/daemon \
	    $(BIN)/python -m tests.torture.torture

bench: $(DEVELOP) ## measure every target beside its limit (ARGS='--quick', '--peers', '--only spawn,cpu')
	@PYTHONPATH=$(CURDIR):$(CURDIR)/daemon $(BIN)/python -m tests.bench.suite $(ARGS)

soak: $(DEVELOP) ## a daemon under mixed load for SOAK_MINUTES (120): what it holds levels off, nothing is lost (SOAK_SEED=7)
	@SOAK_MINUTES=$(SOAK_MINUTES) SOAK_SEED=$(SOAK_SEED) PYTHONPATH=$(CURDIR):$(CURDIR)/daemon $(BIN)/python -m tests.bench.soak

plot: $(DEVELOP) ## draw daemon/performance.svg from what `make bench ARGS='--only growth --peers'` wrote to bench.json
	@PYTHONPATH=$(CURDIR):$(CURDIR)/daemon $(BIN)/python -m tests.bench.plot $(ARGS)

install: program units ## the daemon for the whole machine, as root: PREFIX (/usr/local), DESTDIR for packagers
	@install -d $(DESTDIR)$(SHARED)/sysusers.d $(DESTDIR)$(SHARED)/tmpfiles.d $(DESTDIR)$(SYSCONFDIR)/tiphys $(DESTDIR)$(DOCDIR)/as-root
	@install -m 644 systemd/tiphys.sysusers $(DESTDIR)$(SHARED)/sysusers.d/tiphys.conf
	@install -m 644 systemd/tiphys.tmpfiles $(DESTDIR)$(SHARED)/tmpfiles.d/tiphys.conf
	@install -m 644 systemd/README.md $(DESTDIR)$(DOCDIR)/README.md
	@install -m 644 systemd/as-root/*.conf $(DESTDIR)$(DOCDIR)/as-root
	@test -e $(DESTDIR)$(SYSCONFDIR)/tiphys/tiphys.yaml || install -m 644 config/tiphys.yaml $(DESTDIR)$(SYSCONFDIR)/tiphys/tiphys.yaml
	@printf '%s\n' 'Tiphys is installed; its settings are in $(SYSCONFDIR)/tiphys/tiphys.yaml. Next, as root:' \
	    '  systemd-sysusers && systemd-tmpfiles --create tiphys.conf' \
	    '  systemctl daemon-reload' \
	    '  systemctl enable --now tiphysd.socket tiphys-launcher tiphysd' \
	    '  usermod --append --groups tiphys NAME    # who may use it, from the next login on' \
	    'After an upgrade: systemctl daemon-reload && systemctl restart tiphysd (running steps go on; leave tiphys-launcher alone).'

uninstall: ## take it away again; settings and state stay
	@rm -rf $(DESTDIR)$(LIBDIR) $(DESTDIR)$(DOCDIR)
	@rm -f $(addprefix $(DESTDIR)$(BINDIR)/,tiphys tiphysd)
	@rm -f $(addprefix $(DESTDIR)$(UNITDIR)/,$(UNITS)) $(addprefix $(DESTDIR)$(USER_UNITDIR)/,$(UNITS))
	@rm -f $(DESTDIR)$(SHARED)/sysusers.d/tiphys.conf $(DESTDIR)$(SHARED)/tmpfiles.d/tiphys.conf
	@printf '%s\n' 'Tiphys is uninstalled. What still runs of it ends with' \
	    '  systemctl stop tiphysd.socket tiphysd tiphys-launcher; systemctl daemon-reload' \
	    'What it kept is still there: $(SYSCONFDIR)/tiphys, /var/lib/tiphys, and the user tiphys.'

# A user's own daemon; nothing of it needs root.
HOME_PREFIX := $(HOME)/.local
HOME_UNITDIR := $(or $(XDG_CONFIG_HOME),$(HOME)/.config)/systemd/user

install-user: ## the daemon for you alone, without root: ~/.local and ~/.config/systemd/user
	@$(MAKE) --no-print-directory program units PREFIX=$(HOME_PREFIX) UNITDIR= USER_UNITDIR=$(HOME_UNITDIR)
	@printf '%s\n' 'Tiphys is installed in $(HOME_PREFIX). Next:' \
	    '  systemctl --user daemon-reload' \
	    '  systemctl --user enable --now tiphysd.socket tiphys-launcher tiphysd' \
	    '  loginctl enable-linger    # else it ends when you log out, and starts when you log in' \
	    'Settings, if you need any: ~/.config/tiphys/tiphys.yaml (config/tiphys.yaml has all of them).'

uninstall-user: ## take that away again; settings and state stay
	@rm -rf $(DESTDIR)$(HOME_PREFIX)/lib/tiphys
	@rm -f $(addprefix $(DESTDIR)$(HOME_PREFIX)/bin/,tiphys tiphysd) $(addprefix $(DESTDIR)$(HOME_UNITDIR)/,$(UNITS))
	@echo 'What still runs ends with: systemctl --user stop tiphysd.socket tiphysd tiphys-launcher; systemctl --user daemon-reload'

# An environment of its own, made beside the one in use and put in its place at the end, from a copy of the sources, so that nothing
# left over from an earlier build comes along. The two commands find it next to themselves, else where it was installed.
program:
	@case "$$(realpath "$$(command -v $(PYTHON))")" in /root/*|/home/*) [ -n "$(filter $(HOME_PREFIX),$(PREFIX))" ] || \
	    echo "warning: $(PYTHON) lies in a home, where the user tiphys cannot run it; name another with PYTHON=/usr/bin/python3" >&2;; esac
	@umask 022; set -e; new=$(DESTDIR)$(LIBDIR).new; rm -rf $$new; install -d $$(dirname $$new) $(DESTDIR)$(BINDIR); \
	echo "installing into $(DESTDIR)$(LIBDIR) ..."; \
	$(PYTHON) -m venv $$new; \
	sources=$$(mktemp -d); trap 'rm -rf $$sources' EXIT; \
	tar -c --exclude __pycache__ --exclude '*.egg-info' pyproject.toml README.md daemon | tar -x -C $$sources; \
	$$new/bin/python -I -m pip install --quiet --disable-pip-version-check $$sources; \
	rm -rf $(DESTDIR)$(LIBDIR).old; \
	if [ -e $(DESTDIR)$(LIBDIR) ]; then mv $(DESTDIR)$(LIBDIR) $(DESTDIR)$(LIBDIR).old; fi; \
	mv $$new $(DESTDIR)$(LIBDIR); rm -rf $(DESTDIR)$(LIBDIR).old
	@for name in tiphys tiphysd; do \
	    printf '%s\n' '#!/bin/sh' 'home=$${0%/*}/../lib/tiphys' '[ -x "$$home/bin/python" ] || home=$(LIBDIR)' \
	        "exec \"\$$home/bin/python\" -I -c 'import sys; from tiphys.__main__ import $$name; sys.exit($$name())' \"\$$@\"" \
	        >$(DESTDIR)$(BINDIR)/$$name && chmod 755 $(DESTDIR)$(BINDIR)/$$name || exit 1; \
	done

# The units, with this installation's paths in them. An empty directory: none of that kind.
units: program
	@set -e; launcher=$$(cd $(DESTDIR)$(LIBDIR) && ls lib/python*/site-packages/tiphys/launcher.py); \
	render() { \
	    sed -e 's,@BINDIR@,$(BINDIR),g' -e 's,@PREFIX@,$(PREFIX),g' -e 's,@PYTHON@,$(LIBDIR)/bin/python,g' \
	        -e "s,@LAUNCHER@,$(LIBDIR)/$$launcher,g" $$1 >$$2 && chmod 644 $$2; \
	}; \
	if [ -n "$(UNITDIR)" ]; then install -d $(DESTDIR)$(UNITDIR); \
	    for unit in $(UNITS); do render systemd/$$unit $(DESTDIR)$(UNITDIR)/$$unit; done; fi; \
	install -d $(DESTDIR)$(USER_UNITDIR); \
	for unit in $(UNITS); do render systemd/user/$$unit $(DESTDIR)$(USER_UNITDIR)/$$unit; done

clean: ## remove caches and builds, keep the virtual environment
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache daemon/tiphys.egg-info
	find daemon tests -name __pycache__ -type d -prune -exec rm -rf {} +

# All commands that one must know; the git hook, CI and people run the same ones.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PY := .venv/bin/python
# Two workers a core: the tests mostly wait for servers.
WORKERS ?= $(shell echo $$(( $$(nproc) * 2 )))

.PHONY: help setup programs fmt lint test test-boot nightly bench demo lock

help: ## what there is to run
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## install everything; leaves the command at .venv/bin/mlab
	@.ci/setup

programs: setup ## build the Go programs of the platform once (kube-apiserver, Prometheus, …)
	@$(PY) -m services.local.programs

fmt: setup ## format code and configuration
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix --exit-zero --quiet .
	.venv/bin/mlab fmt
	.venv/bin/mlab explain --page docs/rules.md

lint: setup ## style, types, layers; configuration, jsonnet, schemas, workflows, secrets
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/mypy --scripts-are-modules node/cni/index2ip
	.venv/bin/mypy --scripts-are-modules node/cni/netctl
	.venv/bin/lint-imports --no-logo
	.venv/bin/mlab hooks run --all

test: setup programs ## every test, in parallel and in any order
	@.ci/test $(WORKERS)

test-boot: setup programs ## a machine boots from its card, joins the cluster, runs a pod
	$(PY) -m pytest -n 1 --dist loadgroup tests/boot

nightly: setup programs ## what takes longer: many more random cases and kills
	MLAB_NIGHTLY=1 $(PY) -m pytest -n $(WORKERS) --dist loadgroup --no-loadscope-reorder --timeout 3600

bench: setup programs ## print figures; asserts none
	$(PY) -m tests.bench

demo: setup ## the main job on the platform on this machine, explained step by step
	@$(PY) -m services.local.demo

lock: setup ## write the lock anew from pyproject.toml
	.venv/bin/pip-compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --strip-extras --extra dev --allow-unsafe --output-file requirements.lock pyproject.toml

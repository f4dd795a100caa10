# What a newcomer types. Everything below is a thin line over scripts/, playbooks/ and tests/.
PLAYBOOK := .venv/bin/ansible-playbook

.DEFAULT_GOAL := help
.PHONY: help demo test check test-changed setup setup-test engine browser lab-up lab-down lint unit fuzz sanity awx molecule scenario compatibility vm mutation \
	mutation-roles docs release bench bench-conntrack

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## build the lab, serve a model in it, talk to it
	@scripts/demo.sh

test: setup-test engine browser ## every test (three quarters of an hour to an hour)
	@tests/run-all.sh

check: setup-test ## an answer in a minute: linters on what changed, the unit tests that it can break (ALL=1: every one)
	@tests/run-check.sh

test-changed: setup-test engine ## the suites that the changed files can break, and why (tests/suites.yml)
	@tests/run-changed.sh

lab-up: setup engine ## start the lab's machines
	@$(PLAYBOOK) playbooks/lab_up.yml

lab-down: setup engine ## remove the lab and all it made (KEEP=1 keeps images, models, wheels and caches)
	@$(PLAYBOOK) playbooks/lab_down.yml -e lab_purge=$(if $(KEEP),false,true)

lint: setup-test ## YAML, Ansible and shell linters
	@tests/run-lint.sh

unit: setup-test browser ## unit tests of the plugins (a tenth of the generated examples)
	@tests/run-unit.sh

fuzz: setup-test browser ## all generated tests (marker fuzz), with FUZZ (10) times as many examples
	@FUZZ=$${FUZZ:-10} tests/run-unit.sh -m fuzz

sanity: setup-test ## ansible-test sanity on the built collection
	@tests/run-sanity.sh

awx: setup-test ## what AWX is given, without an AWX
	@tests/run-awx.sh

molecule: setup-test engine ## the scenarios under molecule/
	@tests/run-molecule.sh

vm: setup-test engine ## virtual machines with their own kernels (PART=uml|qemu, SUITE=bookworm|trixie, KEEP=1; as root)
	@tests/run-vm.sh

scenario: setup-test engine ## one scenario: NAME=kernel; without NAME, their list. KEEP=1 leaves the machines of one that fails up
	@tests/run-molecule.sh "$(NAME)"

mutation: setup-test ## a sample of mutants of the plan's checks and the supervisor: MINUTES=10 SEED=1
	@tests/run-mutation.sh

mutation-roles: setup-test ## role mutations (tests/mutation/roles.yml): NAME=..., ROLE=... or UNIT=1; without, their list
	@tests/run-mutation.sh roles

compatibility: setup-test ## test suites of others against a deployed service (the lab's, or URL= API_KEY= from the environment)
	@tests/run-compatibility.sh

docs: setup-test ## write what is generated: tables of variables, the plan, models, metrics, alerts; dashboards
	@.venv/bin/python tests/tools/role_docs.py
	@.venv/bin/python tests/tools/plan_docs.py
	@.venv/bin/python tests/tools/model_docs.py
	@.venv/bin/python tests/tools/metrics_docs.py
	@.venv/bin/python tests/tools/alert_docs.py
	@.venv/bin/python tests/tools/make_dashboards.py

release: setup-test ## set the version from the changelog fragments and write the changelog
	@PATH="$(CURDIR)/.venv/bin:$$PATH" python scripts/release.py

bench: setup-test engine ## seconds of a run that finds nothing to do, task by task (lab must be up)
	@tests/bench/second_run.sh

bench-conntrack: setup-test engine ## a burst of connections through the firewall, kernel tuned and untuned
	@tests/bench/conntrack.sh

setup: ## make .venv from the pinned requirements
	@scripts/setup.sh

setup-test:
	@scripts/setup.sh --test

engine:
	@scripts/engine.sh

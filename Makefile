# What a newcomer types. Everything below is a thin line over scripts/, playbooks/ and tests/.
PLAYBOOK := .venv/bin/ansible-playbook

.DEFAULT_GOAL := help
.PHONY: help demo test setup setup-test engine lab-up lab-down lint unit fuzz sanity awx molecule compatibility docs release bench bench-conntrack

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## build the lab, serve a model in it, talk to it
	@scripts/demo.sh

test: setup-test engine ## every test (80 minutes)
	@tests/run-all.sh

lab-up: setup engine ## start the lab's machines
	@$(PLAYBOOK) playbooks/lab_up.yml

lab-down: setup engine ## remove the lab and all it made (KEEP=1 keeps images, models, wheels and caches)
	@$(PLAYBOOK) playbooks/lab_down.yml -e lab_purge=$(if $(KEEP),false,true)

lint: setup-test ## YAML, Ansible and shell linters
	@tests/run-lint.sh

unit: setup-test ## unit tests of the plugins
	@tests/run-unit.sh

fuzz: setup-test ## the plan's generated tests, with FUZZ (10) times as many examples
	@FUZZ=$${FUZZ:-10} .venv/bin/python -m pytest -q -p no:cacheprovider tests/unit/plugins/plugin_utils/plan/test_garbage.py tests/unit/plugins/plugin_utils/plan/test_garbage_sizes.py

sanity: setup-test ## ansible-test sanity on the built collection
	@tests/run-sanity.sh

awx: setup-test ## what AWX is given, without an AWX
	@tests/run-awx.sh

molecule: setup-test engine ## the scenarios under molecule/
	@tests/run-molecule.sh

compatibility: setup-test ## test suites of others against a deployed service (the lab's, or URL= API_KEY= from the environment)
	@tests/run-compatibility.sh

docs: setup-test ## write the generated tables: variables, the plan's document, models
	@.venv/bin/python tests/tools/role_docs.py
	@.venv/bin/python tests/tools/plan_docs.py
	@.venv/bin/python tests/tools/model_docs.py

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

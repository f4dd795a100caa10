#!/usr/bin/env bash
# What AWX is given, without an AWX: its configuration against the modules' own specifications and a stand-in for the API, the forms against
# the roles' variables, the repository as a project, the image for jobs. Takes pytest's arguments.
# shellcheck source=tests/env.sh
source "$(dirname "$0")/env.sh"
exec python -m pytest -q -p no:cacheprovider tests/awx "$@"

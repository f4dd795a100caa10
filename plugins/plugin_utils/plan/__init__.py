# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan: inventory and catalogue in, one resolved plan out, or every error in the inventory at once.

Plain Python without Ansible, only for the controller. C(resolve.resolve) is the entry point. Each of these packages imports only from those
above it (tests/unit/plugins/plugin_utils/plan/test_layers.py):

- C(errors), C(values), C(sections), C(versions): what all of them use
- C(vllm): flags, argument types and parsers by version, environment variables, platforms, advisories
- C(models): config.json to architecture, tasks, memory
- C(inputs): what users write (settings, services, catalogue, overrides) and the facts of hosts
- C(artifacts): releases, CUDA toolkits, weights
- C(placement): services merged from all of these, GPUs, parallel layouts, multi-node services
- C(host): firewall, packages, TLS, proxies: what the other roles for hosts apply
- C(checks): one file a subject, with each check's error and its fix
- C(output): the plan as data and as a table

Nothing is imported here: filters use single modules, and Ansible loads them for each task.
"""

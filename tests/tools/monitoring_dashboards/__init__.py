# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The dashboards of the role monitoring as code: one file for each, grafana.py makes Grafana's JSON of them."""

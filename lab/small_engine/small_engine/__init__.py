# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A small engine for the lab: it speaks vLLM's HTTP, starts vLLM's processes over several nodes, and ends in all the ways in which vLLM does.

It computes no model. Each rank of the service changes the state of a request, so an answer is right only if it has passed through all of them.
"""

VERSION = "0.32.0"

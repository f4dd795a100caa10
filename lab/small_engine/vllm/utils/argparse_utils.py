# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""vLLM's parser class."""

import argparse


class FlexibleArgumentParser(argparse.ArgumentParser):
    """A parser like any other: the project writes no dotted keys."""

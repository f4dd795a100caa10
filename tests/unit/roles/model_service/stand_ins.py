# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A collection that is the checkout, except for actions that take the place of modules which look at a host or change it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]


def collection(folder: Path, actions: Mapping[str, str], template: str = "") -> Path:
    """Make it in a folder, and return the folder, which is a path of collections.

    :param actions: texts of action plugins by name; the checkout's own action of that name is C(real_<name>)
    :param template: text of the unit's template, instead of the role's own
    """
    here = folder / "ansible_collections" / "inferops" / "gpu"
    (here / "plugins" / "action").mkdir(parents=True)
    for path in (ROOT / "plugins" / "action").glob("*.py"):
        (here / "plugins" / "action" / (f"real_{path.name}" if path.stem in actions else path.name)).symlink_to(path)
    for name, text in actions.items():
        (here / "plugins" / "action" / f"{name}.py").write_text(text, encoding="utf-8")
    link(ROOT / "plugins", here / "plugins", "action")
    if template:
        templates = here / "roles" / "model_service" / "templates"
        templates.mkdir(parents=True)
        (templates / "service.j2").write_text(template, encoding="utf-8")
        link(ROOT / "roles" / "model_service", templates.parent, "templates")
        link(ROOT / "roles", here / "roles", "model_service")
    else:
        (here / "roles").symlink_to(ROOT / "roles")
    for name in ("meta", "galaxy.yml"):
        (here / name).symlink_to(ROOT / name)
    return folder


def link(source: Path, target: Path, without: str) -> None:
    """Link what is in a folder into another one, except for one name."""
    for path in source.iterdir():
        if path.name != without:
            (target / path.name).symlink_to(path)

#!/usr/bin/env bash
# Make sure that there is a browser for the tests of a report's page. None is installed unless we are root: without one these tests are skipped, and
# with CI set they fail.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

for name in chromium google-chrome chromium-browser; do
    command -v "$name" >/dev/null && exit 0
done
if can_install; then
    say "installing chromium"
    apt_install chromium
else
    say "there is no browser, so a report's page is not looked at (as root: apt install chromium)"
fi

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the documentation site. See --help.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
  cat <<'EOF'
usage: bash docs/build.sh [--no-install] [FOLDER]

Builds the pages of docs/ as a searchable static site in FOLDER (default build/docs/site), with the API reference in
api/ where doxygen is installed. Needs mkdocs-material: where `mkdocs` is missing it is installed from PyPI into
build/docs/venv, but not with --no-install. Open index.html in a browser, or put the folder on any web server.

exit code: 0 built, 1 a page or link is broken, 77 mkdocs-material is missing and cannot be installed
EOF
}

install=1
if [ "${1:-}" = --no-install ]; then
  install=0
  shift
fi
case ${1:-} in -h | --help) usage; exit 0 ;; -*) usage >&2; exit 1 ;; esac
out=$(realpath -m "${1:-build/docs/site}")
work=build/docs
venv=$work/venv
mkdir -p "$work"
mkdocs=$(command -v mkdocs || true)
if [ -z "$mkdocs" ] || ! "$mkdocs" --version >/dev/null 2>&1; then
  mkdocs=$venv/bin/mkdocs
  if [ ! -x "$mkdocs" ]; then
    { [ $install -eq 1 ] && python3 -m venv "$venv" && "$venv/bin/pip" install -q --disable-pip-version-check mkdocs-material==9.8.2; } ||
      { rm -rf "$venv"; echo 'docs: no mkdocs-material (pip install mkdocs-material)'; exit 77; }
  fi
fi

# The pages as mkdocs wants them: README.md, CONTRIBUTING.md and CHANGELOG.md beside them, nested lists indented by four.
pages=$work/pages
rm -rf "$pages"
mkdir -p "$pages"
cp -r docs/. "$pages/"
rm -rf "$pages"/api "$pages"/*.sh "$pages"/Doxyfile "$pages"/*.yml
cp README.md "$pages/about.md"
sed -i 's,](docs/,](,g; s,](CITATION.cff),](index.md),' "$pages/about.md"
cp CHANGELOG.md "$pages/changelog.md"
if command -v doxygen >/dev/null; then
  sed -i 's,^`bash docs/api.sh` builds it.*,<a href="api/index.html">All public names</a>\, by doxygen.,' "$pages/index.md"
fi
find "$pages" -name '*.md' -exec sed -i -E '/^ {2,3}- /s/^ +/    /' {} +

# The menu is that of docs/index.md: headings, then links of list items.
{
  cat docs/mkdocs.yml
  echo "docs_dir: $(realpath "$pages")"
  echo "site_dir: $out"
  echo 'nav:'
  echo '  - Contents: index.md'
  echo '  - About: about.md'
  awk '
    /^## / { title = substr($0, 4); next }
    /^- \[/ && match($0, /\]\([^)]*\)/) {
      target = substr($0, RSTART + 2, RLENGTH - 3)
      name = substr($0, 4, RSTART - 4)
      if (seen[target]++) next
      if (title != last) { print "  - \"" title "\":"; last = title }
      print "    - \"" name "\": " target
    }' docs/index.md
  echo '  - Changes: changelog.md'
} >"$work/mkdocs.yml"

NO_MKDOCS_2_WARNING=1 "$mkdocs" build --strict --quiet --clean -f "$work/mkdocs.yml" || exit 1
code=0
bash docs/api.sh "$out/api" >"$work/api.log" 2>&1 || code=$?
if [ $code -eq 1 ]; then
  cat "$work/api.log"
  exit 1
fi
echo "docs: $out/index.html"

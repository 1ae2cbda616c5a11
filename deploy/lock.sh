#!/bin/sh
# Makes requirements.lock anew: the newest version of every dependency of every package, pinned and hashed, for Python 3.11
# to 3.13, and below each what asks for it ("via"), which deploy/subset.py reads. Needs uv, of whose own lock nothing is kept.
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
for file in pyproject.toml cli/pyproject.toml libs/*/pyproject.toml services/*/pyproject.toml; do
    mkdir -p "$work/$(dirname "$file")"
    cp "$file" "$work/$file"
done
uv lock --project "$work" --quiet "$@"
{
    echo "# Made by deploy/lock.sh; do not edit."
    uv export --project "$work" --quiet --frozen --all-packages --all-groups --no-emit-workspace --no-header
} >requirements.lock.new
mv requirements.lock.new requirements.lock

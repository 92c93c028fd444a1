#!/usr/bin/env bash
# Fails when the committed bundle in ollama_jupyter/labextension is not what these sources build.
# Needs `jlpm install` done here, and jupyter-builder on PATH. Changes nothing in the checkout.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir "$work/labextension"
cp -R "$here"/{package.json,tsconfig.json,rspack.config.js,src,style} "$work/labextension/"
# Not a symbolic link: module ids are made from paths relative to the package, and links are followed first.
cp -al "$here/node_modules" "$work/labextension/" 2>/dev/null || cp -a "$here/node_modules" "$work/labextension/"
cd "$work/labextension"
node_modules/.bin/tsc
jupyter-builder build . >build.log 2>&1 || { cat build.log; exit 1; }

diff -r "$work/ollama_jupyter/labextension" "$here/../ollama_jupyter/labextension" || {
  echo 'The committed bundle is stale: run `jlpm build` in labextension/ and commit the result.' >&2
  exit 1
}
echo 'The committed bundle is what the sources build.'

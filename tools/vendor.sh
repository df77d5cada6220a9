#!/bin/sh
# Refresh the vendored files of the docs page: tools/vendor.sh [VERSION]
#
# Takes Swagger UI from npm (which checks the package's integrity itself), keeps the
# bundle, the style sheet and the licences, and nothing that reports home or maps back
# to sources. Run it, read the diff of VERSION, run tests/web/test_console.py, commit.
set -eu

version="${1:-5.35.0}"
root="$(cd "$(dirname "$0")/.." && pwd)"
target="$root/src/demijohn/web/console/static/vendor/swagger-ui"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

cd "$work"
npm pack --silent "swagger-ui-dist@$version" >/dev/null
tar -xzf swagger-ui-dist-*.tgz

mkdir -p "$target"
for file in LICENSE NOTICE swagger-ui-bundle.js swagger-ui-bundle.js.LICENSE.txt swagger-ui.css; do
    # The maps are not vendored, so the files must not send a browser looking for them.
    sed -e 's|/\*# sourceMappingURL=[^*]*\*/||' -e '/^\/\/# sourceMappingURL=/d' \
        "package/$file" >"$target/$file"
done

cd "$target"
{
    echo "swagger-ui-dist $version (Apache-2.0), from npm by tools/vendor.sh"
    echo "Changed by us: source map references removed. SHA-256 of the files here:"
    sha256sum LICENSE NOTICE swagger-ui-bundle.js swagger-ui-bundle.js.LICENSE.txt swagger-ui.css
} >VERSION
cat VERSION

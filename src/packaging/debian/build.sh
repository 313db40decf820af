#!/bin/sh
# Makes corduroy_VERSION_ARCHITECTURE.deb of what is built in dist/; run by make deb, in the project's folder.
# Nobody needs to be root for it. The same sources make the same package, but for the compiler's doing.
#
#   OUT                the folder it goes to (dist)
#   MAINTAINER         who answers for the package: NAME <ADDRESS> (a stand-in)
#   SOURCE_DATE_EPOCH  the time of all its files, in seconds since 1970 (when what is checked out was committed)
set -eu
umask 022

MAINTAINER=${MAINTAINER:-Corduroy packagers <corduroy@example.org>}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH # for dpkg-deb

HERE=src/packaging/debian
for tool in dpkg-deb objdump strip; do
  command -v $tool >/dev/null || { echo "$tool is missing: apt-get install dpkg binutils" >&2; exit 1; }
done
# A pre-release, 1.0.0-rc.1, comes before its release: 1.0.0~rc.1.
version=$(node -p 'require("./package.json").version.replace("-", "~")')
arch=$(dpkg --print-architecture)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
root=$work/corduroy
mkdir "$root"

DESTDIR=$root PREFIX=/usr ZSHDIR=/usr/share/zsh/vendor-completions INTERPRETER=/usr/bin/node \
  src/packaging/install.sh install
rm "$root/usr/lib/corduroy/installed-files" # dpkg has its own,
rm "$root/usr/share/doc/corduroy/LICENSE"   # and Debian a form for these.
mkdir -p "$root/etc/corduroy" "$root/usr/share/lintian/overrides" "$root/DEBIAN"
node dist/packaging/write-copyright.js >"$root/usr/share/doc/corduroy/copyright"
cp $HERE/lintian-overrides "$root/usr/share/lintian/overrides/corduroy"

# The C library's symbols that the data plane uses, by their newest version.
glibc=$(objdump -T "$root/usr/lib/corduroy/dist/corduroy-datapath" | grep -o 'GLIBC_[0-9.]*' | sed 's/GLIBC_//' | sort -Vu | tail -n 1)
maintainer=$(printf '%s' "$MAINTAINER" | sed 's/[&|\\]/\\&/g') # what sed would take for its own
fill_in() {
  sed -e "s/@VERSION@/$version/" -e "s/@ARCH@/$arch/" -e "s/@GLIBC@/$glibc/" -e "s|@MAINTAINER@|$maintainer|" \
    -e "s/@DATE@/$(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")/" -e "s/@SIZE@/${size:-}/" "$1"
}
fill_in $HERE/changelog | gzip -9n >"$root/usr/share/doc/corduroy/changelog.gz"
find "$root/usr/share/man" -type f -exec gzip -9n {} +

size=$(du -ks --apparent-size "$root" | cut -f 1)
fill_in $HERE/control >"$root/DEBIAN/control"
for script in postinst prerm postrm; do
  cp "$HERE/$script" "$root/DEBIAN/"
  chmod 755 "$root/DEBIAN/$script"
done
(cd "$root" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | LC_ALL=C sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"

package=corduroy_${version}_$arch.deb
dpkg-deb --root-owner-group -Zxz --build "$root" "$work/$package" >/dev/null
# One at a time, so that it is plain which is meant.
rm -f "${OUT:-dist}"/corduroy_*.deb
mv "$work/$package" "${OUT:-dist}/"
echo "${OUT:-dist}/$package"

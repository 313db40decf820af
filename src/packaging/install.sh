#!/bin/sh
# Installs what is built in dist/, or removes it again; run by make install, make uninstall and make deb, in the
# project's folder. It copies files and does nothing else: no unit is started, no user is made.
#
#   PREFIX       where all of it is found when it runs (/usr/local)
#   DESTDIR      stands before every path: the folder that a package is made of (none)
#   UNITDIR      where systemd looks for units (PREFIX/lib/systemd/system)
#   ZSHDIR       where zsh looks for completions (PREFIX/share/zsh/site-functions)
#   INTERPRETER  the Node.js to name in the programs' first lines (the first in PATH, whenever they are started)
set -eu
umask 022

PREFIX=${PREFIX:-/usr/local}
DESTDIR=${DESTDIR:-}
UNITDIR=${UNITDIR:-$PREFIX/lib/systemd/system}
ZSHDIR=${ZSHDIR:-$PREFIX/share/zsh/site-functions}
INTERPRETER=${INTERPRETER:-}
BINDIR=$PREFIX/bin
LIBDIR=$PREFIX/lib/corduroy
DOCDIR=$PREFIX/share/doc/corduroy
BASHDIR=$PREFIX/share/bash-completion/completions
FISHDIR=$PREFIX/share/fish/vendor_completions.d
# What an installation consists of, for the next one and for its removal: a path a line, sorted.
MANIFEST=$LIBDIR/installed-files

fail() {
  echo "$1" >&2
  exit 1
}

for path in "$PREFIX" "$UNITDIR" "$ZSHDIR" "${DESTDIR:-/}" "${INTERPRETER:-/}"; do
  case $path in /*) ;; *) fail "$path is no path from the root: PREFIX, DESTDIR, UNITDIR, ZSHDIR and INTERPRETER begin with /" ;; esac
done

# Everything as it is to be, below the folder $1.
fill() {
  lib=$1$LIBDIR
  mkdir -p "$lib/dist" "$1$BINDIR" "$1$UNITDIR" "$1$PREFIX/lib/sysusers.d" "$1$DOCDIR/docs" "$1$DOCDIR/examples" \
    "$1$BASHDIR" "$1$ZSHDIR" "$1$FISHDIR"

  (cd dist && find . -name '*.js' ! -path './packaging/*' -print | tar -cf - -T -) | tar -C "$lib/dist" -xmf -
  cp dist/corduroy-datapath "$lib/dist/"
  # Debug information would name the folder it was built in.
  strip --strip-unneeded --remove-section=.comment --remove-section=.note "$lib/dist/corduroy-datapath"
  if [ -n "$INTERPRETER" ]; then
    sed -i -E "1s|^#!/usr/bin/env (-S )?node|#!$INTERPRETER|" "$lib/dist/corduroy.js" "$lib/dist/corduroyd.js"
  fi
  cp package.json "$lib/"
  node dist/packaging/copy-modules.js "$lib"
  chmod -R u=rwX,go=rX "$lib"
  chmod 755 "$lib/dist/corduroy.js" "$lib/dist/corduroyd.js" "$lib/dist/corduroy-datapath"
  ln -s ../lib/corduroy/dist/corduroy.js "$1$BINDIR/corduroy"
  ln -s ../lib/corduroy/dist/corduroyd.js "$1$BINDIR/corduroyd"

  for unit in src/packaging/systemd/*.in; do
    name=${unit##*/}
    sed -e "s|@LIBDIR@|$LIBDIR|g" -e "s|@BINDIR@|$BINDIR|g" "$unit" >"$1$UNITDIR/${name%.in}"
  done
  cp src/packaging/sysusers.conf "$1$PREFIX/lib/sysusers.d/corduroy.conf"

  node dist/packaging/write-manual.js "$1$PREFIX/share/man"
  node dist/corduroy.js completion bash >"$1$BASHDIR/corduroy"
  ln -s corduroy "$1$BASHDIR/corduroyd"
  node dist/corduroy.js completion zsh >"$1$ZSHDIR/_corduroy"
  node dist/corduroy.js completion fish >"$1$FISHDIR/corduroy.fish"
  ln -s corduroy.fish "$1$FISHDIR/corduroyd.fish"

  cp README.md LICENSE "$1$DOCDIR/"
  cp docs/*.md docs/*.svg "$1$DOCDIR/docs/"
  cp src/packaging/corduroyd.json "$1$DOCDIR/examples/"
  # By name: what running them has made in there, keys and tokens among it, is not for others. The demo is of a checkout.
  (cd examples && find . \( -name README.md -o -name Vagrantfile -o -name '*.sh' -o -name '*.y*ml' \) \
    ! -path './demo/*' -print | tar -cf - -T -) | tar -C "$1$DOCDIR/examples" -xmf -
  chmod -R u=rwX,go=rX "$1$DOCDIR" "$1$PREFIX/lib/sysusers.d"
}

# Removes the files named on standard input, and the folders of Corduroy's own that are empty then.
remove() {
  while read -r path; do rm -f "$DESTDIR$path"; done
  for folder in "$DESTDIR$LIBDIR" "$DESTDIR$DOCDIR"; do
    [ ! -d "$folder" ] || find "$folder" -depth -type d -empty -delete
  done
}

install() {
  [ -x dist/corduroy.js ] && [ -x dist/corduroy-datapath ] || fail "nothing is built yet: make build"
  stage=$(mktemp -d)
  trap 'rm -rf "$stage"' EXIT
  trap 'exit 130' INT TERM
  mkdir "$stage/root"
  fill "$stage/root"
  : >"$stage/root$MANIFEST"
  (cd "$stage/root" && find . ! -type d | sed 's/^\.//' | LC_ALL=C sort) >"$stage/files"
  cp "$stage/files" "$stage/root$MANIFEST"
  if [ -f "$DESTDIR$MANIFEST" ]; then LC_ALL=C comm -23 "$DESTDIR$MANIFEST" "$stage/files" >"$stage/outdated"; fi

  # Each file is replaced as a whole, so that programs that run keep theirs; folders that are there stay as they are.
  mkdir -p "$DESTDIR/"
  sed 's/^/./' "$stage/files" | tar -C "$stage/root" -cf - -T - | tar -C "$DESTDIR/" --no-same-owner -xf -
  if [ -f "$stage/outdated" ]; then remove <"$stage/outdated"; fi
}

uninstall() {
  [ -f "$DESTDIR$MANIFEST" ] || fail "there is no $DESTDIR$MANIFEST: Corduroy was not installed there by make install"
  if [ -z "$DESTDIR" ]; then
    for record in /run/corduroy/state.json /run/corduroy-*/state.json; do
      [ ! -e "$record" ] || fail "$record speaks of a network on this host. Remove it first: corduroy down (with --instance, if it is one)"
    done
  fi
  list=$(mktemp)
  trap 'rm -f "$list"' EXIT
  cp "$DESTDIR$MANIFEST" "$list"
  remove <"$list"
}

case ${1:-} in
  install | uninstall) "$1" ;;
  *) fail "usage: install.sh install|uninstall" ;;
esac

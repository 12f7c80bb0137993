# shellcheck shell=bash
# deps: the Debian packages of packages.txt, installed only when missing, and the build. Debian starts a server's own
# service when it installs it; a policy-rc.d forbids that for the time of the installation, unless the machine has one
# of its own.

POLICY=/usr/sbin/policy-rc.d
POLICY_TEXT='#!/bin/sh
# hongbao: ./dev deps keeps servers from starting while it installs them
exit 101'

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# deps_missing USE…: the packages for these uses that are not installed.
deps_missing() {
	local name use command
	while read -r name use command; do
		case $name in '' | '#'*) continue ;; esac
		[[ " $* " == *" $use "* ]] || continue
		[ -z "$command" ] || ! command -v "$command" >/dev/null || continue
		[[ $(dpkg-query -W -f='${Status}' "$name" 2>/dev/null) == 'install ok installed' ]] || echo "$name"
	done <"$LOCAL/packages.txt"
}

deps_install() {
	local missing status=0
	mapfile -t missing < <(deps_missing "$@")
	if [ ${#missing[@]} -gt 0 ]; then
		say "Installing ${missing[*]}"
		if [ ! -e $POLICY ]; then
			printf '%s\n' "$POLICY_TEXT" | as_root tee $POLICY >/dev/null
			as_root chmod 755 $POLICY
		fi
		{ as_root apt-get update -q && as_root env DEBIAN_FRONTEND=noninteractive \
			apt-get install -qy --no-install-recommends "${missing[@]}"; } || status=$?
	fi
	if [ -e $POLICY ] && [ "$(cat $POLICY)" = "$POLICY_TEXT" ]; then as_root rm $POLICY; fi
	[ $status = 0 ] || die "could not install the packages"
}

configure_build() {
	[ -x "$ROOT/configure" ] || (cd "$ROOT" && autoreconf -fi >/dev/null)
	mkdir -p "$BUILD"
	if [ ! -f "$BUILD/config.status" ]; then
		say "Configuring (log: $BUILD/configure.log)"
		# shellcheck disable=SC2086 # HB_CONFIGURE is a list of words
		(cd "$BUILD" && "$ROOT/configure" --quiet --enable-werror CFLAGS='-O2 -g' ${HB_CONFIGURE:-} >configure.log 2>&1) ||
			{ tail -20 "$BUILD/configure.log" >&2 && die "configure failed"; }
	fi
}

build() {
	configure_build
	make -C "$BUILD" --no-print-directory -s -j"$(nproc)" ARFLAGS=cr all || die "the build failed"
}

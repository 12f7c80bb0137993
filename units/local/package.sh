# shellcheck shell=bash
# package: the Debian packages from a clean clone of HEAD, lintian, and, as root, an installation in a folder of its own that is looked at with what is in it.

PACKAGE=$ROOT/.hb/package

# In a step a command that fails ends it: bash does not see to that here, so they are joined by &&.
# package_step NAME COMMAND…: its output goes to a log, of which the end is shown when it fails.
package_step() {
	local name=$1 began=$SECONDS
	shift
	if "$@" >"$PACKAGE/$name.log" 2>&1; then
		say "ok $name ($((SECONDS - began)) s)"
	else
		tail -n 30 "$PACKAGE/$name.log"
		die "$name failed: $PACKAGE/$name.log"
	fi
}

package_build() {
	git clone -q --no-hardlinks "$ROOT" "$PACKAGE/src" && cd "$PACKAGE/src" &&
		DEB_BUILD_OPTIONS="nocheck parallel=$(nproc)" dpkg-buildpackage -us -uc -b
}

package_lintian() { lintian --allow-root --fail-on error,warning --tag-display-limit 0 "$PACKAGE"/*.changes; }

# The host's own mirror and proxy.
package_debootstrap() {
	local mirror
	mirror=$(sed -nE 's/^deb (\[[^]]*\] )?([^ ]+) bookworm .*/\2/p; s/^URIs: *([^ ]+).*/\1/p' /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources} 2>/dev/null | head -n 1)
	debootstrap --variant=minbase --include=ca-certificates bookworm "$PACKAGE/root" "${mirror:-http://deb.debian.org/debian}" &&
		cp -a /etc/apt/sources.list* /etc/apt/apt.conf.d "$PACKAGE/root/etc/apt/" &&
		cp /etc/resolv.conf /etc/hosts "$PACKAGE/root/etc/" &&
		printf '%s\n' "$POLICY_TEXT" >"$PACKAGE/root$POLICY" &&
		chmod 755 "$PACKAGE/root$POLICY"
}

# With a /proc of its own, which systemd-tmpfiles needs and which goes with the command.
in_root() {
	# shellcheck disable=SC2016 # of that shell
	unshare --mount sh -c 'mount -t proc proc "$0/proc" && exec chroot "$0" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
		DEBIAN_FRONTEND=noninteractive HB_SITE=east "$@"' "$PACKAGE/root" "$@"
}
# The same with no network but a loopback of its own: whatever runs on this machine has no port there.
alone_in_root() {
	# shellcheck disable=SC2016 # of that shell
	unshare --mount --net sh -c 'ip link set lo up && mount -t proc proc "$0/proc" && exec chroot "$0" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin \
		LC_ALL=C.UTF-8 HB_SITE=east "$@"' "$PACKAGE/root" "$@"
}

# apt resolves what the packages depend on; nginx and systemd, which are recommended or always there, so that all can be looked at.
package_install() {
	cp "$PACKAGE"/*.deb "$PACKAGE/root/tmp/" &&
		in_root apt-get update -q &&
		in_root sh -c 'apt-get install -qy --no-install-recommends systemd nginx-light memcached mariadb-server mariadb-backup /tmp/hongbao_*.deb /tmp/hongbao-sim_*.deb'
}

# From an installation of nothing but the packages to one of which doctor has nothing to say before its start. The example's site east is put here.
package_look() {
	alone_in_root hbctl --version &&
		alone_in_root hbctl config check &&
		sed -i 's/192\.0\.2\.1\b/127.0.0.1/g; s/192\.0\.2\./198.51.100./g' "$PACKAGE/root/etc/hongbao/topology.cfg" &&
		alone_in_root /usr/lib/hongbao/site init &&
		alone_in_root /usr/lib/hongbao/site secrets &&
		alone_in_root hbctl doctor --stopped &&
		alone_in_root hbctl units render --site east &&
		alone_in_root hbctl nginx render --offline --site east --out /var/lib/hongbao/etc/nginx-east.conf &&
		alone_in_root runuser -u hongbao -- nginx -t -q -e stderr -c /var/lib/hongbao/etc/nginx-east.conf &&
		alone_in_root systemd-analyze verify hongbao-cell@A.target hongbao-cell@B.target hongbao-nginx.service hongbao-core@A-1.socket &&
		alone_in_root systemd-analyze security --offline=yes hongbao-core@A-1.service
}

package_run() {
	rm -rf "$PACKAGE"
	mkdir -p "$PACKAGE"
	package_step build package_build
	package_step lintian package_lintian
	if [ "$(id -u)" != 0 ]; then
		say "the installation in a folder needs root: skipped"
		return 0
	fi
	package_step debootstrap package_debootstrap
	package_step install package_install
	package_step look package_look
	package_step boot "$LOCAL/boot.sh" "$PACKAGE/root"
	ls "$PACKAGE"/*.deb
}

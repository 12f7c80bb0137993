#!/bin/bash
# Runs a stack's nginx in the foreground. A master that is killed leaves workers behind, which hold the listening
# sockets: they are known by their working folder, which is this service's own, and ended first.
#   nginx.sh SITE              the service nginx-SITE, with etc/env loaded
#   nginx.sh --stray FOLDER    only ends such workers
set -euo pipefail

strays() {
	local process cwd
	while read -r process cwd; do
		[ "$cwd" = "$1" ] || continue
		[ "$(cat "$process/comm" 2>/dev/null)" = nginx ] || continue
		echo "${process#/proc/}"
	done < <(find /proc/[0-9]*/cwd -maxdepth 0 -printf '%h %l\n' 2>/dev/null || true)
}

# Until they are gone: the sockets of one that is still dying take connections, and reset them.
end_strays() {
	local pids
	while mapfile -t pids < <(strays "$1") && [ ${#pids[@]} -gt 0 ]; do
		kill -KILL "${pids[@]}" 2>/dev/null || true
		sleep 0.05
	done
}

if [ "${1:-}" = --stray ]; then
	end_strays "$2"
	exit 0
fi
end_strays "$S/run/nginx-$1"
# What it led to may have changed while it was down; without the control store it starts with what it had.
hbctl nginx render --site "$1" --out "$S/etc/nginx-$1.conf" || true
ulimit -n "$(ulimit -H -n)"
exec nginx -e stderr -c "$S/etc/nginx-$1.conf"

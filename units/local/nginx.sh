#!/bin/bash
# Runs the stack's nginx in the foreground. A master that is killed leaves workers behind, which hold the listening
# sockets: they are known by their working folder, which is this service's own, and ended first.
#   nginx.sh                   the service nginx, with etc/env loaded
#   nginx.sh --stray FOLDER    only ends such workers
set -euo pipefail

end_strays() {
	local folder=$1 process cwd pids=()
	while read -r process cwd; do
		[ "$cwd" = "$folder" ] || continue
		[ "$(cat "$process/comm" 2>/dev/null)" = nginx ] || continue
		pids+=("${process#/proc/}")
	done < <(find /proc/[0-9]*/cwd -maxdepth 0 -printf '%h %l\n' 2>/dev/null || true)
	if [ ${#pids[@]} -gt 0 ]; then kill -KILL "${pids[@]}" 2>/dev/null || true; fi
}

if [ "${1:-}" = --stray ]; then
	end_strays "$2"
	exit 0
fi
end_strays "$S/run/nginx"
ulimit -n "$(ulimit -H -n)"
exec nginx -e stderr -c "$S/etc/nginx.conf"

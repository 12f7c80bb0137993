#!/bin/sh
# run: becomes a program of hongbao, by the instance of its unit.
#   run hb-core|hb-query|hb-rain CELL-NUMBER    run hb-worker CELL-ROLE    run member CELL
set -eu

STATE=/var/lib/hongbao
what=$1 cell=${2%%-*} rest=${2#*-}
: "${HB_SITE:?is not set: /etc/hongbao/site.env}"

set -- --config /etc/hongbao/hongbao.cfg --cell "$cell" --site "$HB_SITE" --live "$STATE/live/$HB_SITE/$cell.cfg"
case $what in
hb-core | hb-query | hb-rain) exec "/usr/bin/$what" "$@" --instance "$rest" ;;
hb-worker) exec /usr/bin/hb-worker "$rest" "$@" --instance 1 ;;
member)
	mkdir -p "$STATE/run/db-$cell"
	exec /usr/bin/hbctl member run "$cell" "$HB_SITE" -- mariadbd "--defaults-file=/etc/hongbao/mariadb/$cell.cnf"
	;;
*)
	echo "run: no such program: $what" >&2
	exit 2
	;;
esac

# shellcheck shell=bash
# chaos: the campaigns of tests/chaos on a stack of their own, which is made fresh once and kept over the runs.

CHAOS_NAME=${HB_CHAOS_NAME:-chaos}
CHAOS_BASE=${HB_CHAOS_BASE:-17000}
CHAOS_CONFIG=tests/chaos/hongbao.cfg.in

chaos_dev() {
	HB_NAME=$CHAOS_NAME HB_BASE=$CHAOS_BASE HB_BUILD=$BUILD HB_CONFIG_TEMPLATE=$ROOT/$CHAOS_CONFIG nice "$ROOT/dev" "$@"
}

chaos_orders() {
	local status=0 log=$ROOT/.hb/chaos.log
	mkdir -p "$ROOT/.hb"
	chaos_dev down --wipe >"$log" 2>&1 || true
	chaos_dev up >>"$log" 2>&1 || die "the stack of the campaign did not come up: $log"
	nice /usr/bin/python3 "$ROOT/tests/chaos/orders.py" --stack "$ROOT/.hb/$CHAOS_NAME" "$@" || status=$?
	# What a failed run leaves is there to be looked at.
	[ $status != 0 ] || chaos_dev down --wipe >>"$log" 2>&1 || status=1
	return $status
}

chaos_run() {
	case ${1:-} in
	orders) chaos_orders "${@:2}" ;;
	planted) planted_run "${@:2}" ;;
	*) wrong "chaos: orders or planted" ;;
	esac
}

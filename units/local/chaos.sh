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

# chaos_flags [--edits N] [--seed S]: flags.cfg edited in every way, good and bad, under load.
chaos_flags() {
	local status=0 log=$ROOT/.hb/chaos.log
	mkdir -p "$ROOT/.hb"
	chaos_dev down --wipe >"$log" 2>&1 || true
	chaos_dev up >>"$log" 2>&1 || die "the stack of the campaign did not come up: $log"
	/usr/bin/python3 "$ROOT/tests/integration/flag_edits.py" --stack "$ROOT/.hb/$CHAOS_NAME" "$@" || status=$?
	chaos_dev down --wipe >>"$log" 2>&1 || status=1
	return $status
}

chaos_run() {
	case ${1:-} in
	flags) chaos_flags "${@:2}" ;;
	orders) chaos_orders "${@:2}" ;;
	planted) planted_run "${@:2}" ;;
	*) wrong "chaos: flags, orders or planted" ;;
	esac
}

# shellcheck shell=bash
# chaos: the campaigns of tests/chaos on a stack of their own, which is made fresh once and kept over the runs.

CHAOS_NAME=${HB_CHAOS_NAME:-chaos}
CHAOS_BASE=${HB_CHAOS_BASE:-17000}
CHAOS_CONFIG=tests/chaos/hongbao.cfg.in

chaos_dev() {
	HB_NAME=$CHAOS_NAME HB_BASE=$CHAOS_BASE HB_BUILD=$BUILD HB_CONFIG_TEMPLATE=$ROOT/$CHAOS_CONFIG nice "$ROOT/dev" "$@"
}

# chaos_campaign SCRIPT ARGUMENT…: on a fresh stack, which is gone afterwards; what a failed run leaves is there to be looked at.
chaos_campaign() {
	local status=0 log=$ROOT/.hb/chaos.log
	mkdir -p "$ROOT/.hb"
	chaos_dev down --wipe >"$log" 2>&1 || true
	chaos_dev up >>"$log" 2>&1 || die "the stack of the campaign did not come up: $log"
	HB_BUILD=$BUILD nice /usr/bin/python3 "$ROOT/tests/chaos/$1" --stack "$ROOT/.hb/$CHAOS_NAME" "${@:2}" || status=$?
	[ $status != 0 ] || chaos_dev down --wipe >>"$log" 2>&1 || status=1
	return $status
}

chaos_orders() { chaos_campaign orders.py "$@"; }

# Each site a network namespace, which only root can make.
chaos_cells() {
	[ "$(id -u)" = 0 ] || die "chaos cells cuts sites off in network namespaces: it needs root"
	HB_NETNS=1 chaos_campaign cells.py "$@"
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

# chaos_isolation [--runs N] [--seconds S] [--only NAME,…] [--short] [--json]: cell B while its neighbour, a node or a door fails.
# Finance is the mock: what is measured is ours.
chaos_isolation() {
	local status=0 log=$ROOT/.hb/chaos-isolation.log CHAOS_CONFIG=tests/load/stack/hongbao.cfg.in
	mkdir -p "$ROOT/.hb"
	chaos_dev down --wipe >"$log" 2>&1 || true
	HB_NODES=3 chaos_dev up >>"$log" 2>&1 || die "the stack of the campaign did not come up: $log"
	/usr/bin/python3 "$ROOT/tests/chaos/isolation.py" --stack "$ROOT/.hb/$CHAOS_NAME" --build "$BUILD" "$@" || status=$?
	chaos_dev down --wipe >>"$log" 2>&1 || status=1
	return $status
}

chaos_run() {
	case ${1:-} in
	isolation) chaos_isolation "${@:2}" ;;
	flags) chaos_flags "${@:2}" ;;
	orders) chaos_orders "${@:2}" ;;
	cells) chaos_cells "${@:2}" ;;
	planted) planted_run "$ROOT/tests/chaos/planted.tsv" "${@:2}" ;;
	cells-planted) planted_run "$ROOT/tests/chaos/cells_planted.tsv" "${@:2}" ;;
	*) wrong "chaos: cells, cells-planted, flags, isolation, orders or planted" ;;
	esac
}

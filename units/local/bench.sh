# shellcheck shell=bash
# bench: the benchmark on a stack of its own (tests/load/stack), made fresh and thrown away. The measuring itself is
# tests/load/bench.py.

BENCH_NAME=${HB_BENCH_NAME:-bench}
BENCH_BASE=${HB_BENCH_BASE:-16000}
BENCH_TABLES=$ROOT/tests/load/stack
BENCH_CONFIG=$BENCH_TABLES/hongbao.cfg.in

bench_dev() {
	HB_NAME=$BENCH_NAME HB_BASE=$BENCH_BASE HB_BUILD=$BUILD HB_TABLES=$BENCH_TABLES \
		HB_CONFIG_TEMPLATE=$BENCH_CONFIG "$ROOT/dev" "$@"
}

bench_port() { awk -F'\t' -v name="$1" -v base="$BENCH_BASE" '$1 == name { print base + $2 }' "$BENCH_TABLES/ports.tsv"; }

# The benchmark's own locations; nginx keeps running the old file when it refuses the new one.
bench_nginx() {
	local stack=$1 conf=$1/etc/nginx-east.conf
	mkdir -p "$stack/www"
	printf '{}' >"$stack/www/bench.txt"
	awk -v stack="$stack" -v share="$ROOT" -v echo="$(bench_port echo)" -v rowlock="$(bench_port rowlock)" \
		-v core3="$(bench_port rowlock-3)" -v core4="$(bench_port rowlock-4)" \
		-f "$BENCH_TABLES/nginx.awk" "$conf" >"$conf.bench"
	nginx -t -q -e stderr -c "$conf.bench" || die "nginx refuses the benchmark's configuration: $conf.bench"
	mv "$conf.bench" "$conf"
	kill -HUP "$(cat "$stack/run/nginx-east.pid")"
}

bench_stack() {
	local log=$1
	bench_dev down --wipe >"$log" 2>&1 || true
	bench_dev up >>"$log" 2>&1 || die "the benchmark's stack did not come up: $log"
	bench_nginx "$ROOT/.hb/$BENCH_NAME"
}

# bench_recon [--lines N] [--json]: reconciliation of a day of millions of lines.
bench_recon() {
	local status=0 log=$ROOT/.hb/bench-stack.log
	mkdir -p "$ROOT/.hb"
	bench_dev down --wipe >"$log" 2>&1 || true
	bench_dev up >>"$log" 2>&1 || die "the benchmark's stack did not come up: $log"
	/usr/bin/python3 "$ROOT/tests/load/recon_load.py" --stack "$ROOT/.hb/$BENCH_NAME" --build "$BUILD" "$@" || status=$?
	bench_dev down --wipe >>"$log" 2>&1 || true
	return $status
}

# bench_finance FILE OPTION…: with workers that ask finance over HTTP.
bench_finance() {
	local BENCH_CONFIG=$BENCH_TABLES/finance.cfg.in
	bench_python "$@"
}

bench_run() {
	if [ "${1:-}" = finance ]; then
		bench_finance bench_finance.py "${@:2}"
		return
	fi
	if [ "${1:-}" = degraded ]; then
		bench_finance bench_degraded.py "${@:2}"
		return
	fi
	if [ "${1:-}" = recon ]; then
		bench_recon "${@:2}"
		return
	fi
	if [ "${1:-}" = overload ] || [ "${1:-}" = limits ]; then
		bench_python bench_limits.py "$@"
		return
	fi
	if [ "${1:-}" = wins ]; then set -- --wins "${@:2}"; fi
	bench_python bench.py "$@"
}

# bench_python FILE OPTION…: on a fresh stack, which --keep leaves.
bench_python() {
	local status=0 log=$ROOT/.hb/bench-stack.log keep='' option
	for option in "${@:2}"; do if [ "$option" = --keep ]; then keep=yes; fi; done
	mkdir -p "$ROOT/.hb"
	bench_stack "$log"
	/usr/bin/python3 "$ROOT/tests/load/$1" --stack "$ROOT/.hb/$BENCH_NAME" --build "$BUILD" "${@:2}" || status=$?
	[ -n "$keep" ] || bench_dev down --wipe >>"$log" 2>&1 || true
	return $status
}

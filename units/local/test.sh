# shellcheck shell=bash
# test: every test there is. Unit tests need no server; the others run against a stack of their own, so a running demo
# is never touched. Each phase writes its whole output to .hb/test-logs; a phase that cannot run counts as one failure.
# The last line is the sum: "N passed, N failed[, N skipped]".

TEST_NAME=${HB_TEST_NAME:-test}
TEST_BASES='19000 27000 29000 31000'
TEST_BASE=${HB_TEST_BASE:-19000}
TEST_LOGS=${HB_TEST_LOGS:-$ROOT/.hb/test-logs}
PASSED=0
FAILED=0
SKIPPED=0

# count PHASE PASSED FAILED SKIPPED
count() {
	PASSED=$((PASSED + $2)) FAILED=$((FAILED + $3)) SKIPPED=$((SKIPPED + $4))
	say "$1: $2 passed, $3 failed, $4 skipped"
}

# cannot PHASE WHY [LOG]: the phase could not run; the log's end is shown, because a machine of CI is gone afterwards.
cannot() {
	local log=${3:-$TEST_LOGS/$1.log}
	say "$1: $2 (log: $log)"
	tail -n 20 "$log" 2>/dev/null || true
	count "$1" 0 1 0
}

no_stack() { cannot "$1" "the stack did not come up" "$TEST_LOGS/stack.log"; }

test_dev() { HB_NAME=$TEST_NAME HB_BASE=$TEST_BASE HB_BUILD=$BUILD HB_CONFIG_TEMPLATE=$ROOT/tests/integration/hongbao.cfg.in "$ROOT/dev" "$@"; }

test_port() { awk -F'\t' -v name="$1" -v base="$TEST_BASE" '$1 == name { print base + $2 }' "$LOCAL/ports.tsv"; }

# Unless HB_TEST_BASE says which ports to use, those of another program on this machine are kept clear of.
test_base() {
	local base
	[ -z "${HB_TEST_BASE:-}" ] || return 0
	for base in $TEST_BASES; do
		if [ -z "$(BASE=$base ports_taken)" ]; then
			TEST_BASE=$base
			return 0
		fi
	done
}

# The stack of the tests, fresh once per run.
test_stack() {
	[ -z "${TEST_STACK_UP:-}" ] || return 0
	test_dev down --wipe >"$TEST_LOGS/stack.log" 2>&1 || true
	test_base
	test_dev up >>"$TEST_LOGS/stack.log" 2>&1 || return 1
	TEST_STACK_UP=yes
}

# automake_sum RESULT LOG: a line of automake's summary, "# PASS:  12".
automake_sum() { awk -v key="# $1:" 'index($0, key) == 1 { n += $3 } END { print n + 0 }' "$2"; }

test_unit() {
	local log=$TEST_LOGS/unit.log
	make -C "$BUILD" --no-print-directory -k -j"$(nproc)" check >"$log" 2>&1 || true
	if ! grep -q '^# TOTAL:' "$log"; then
		tail -n 5 "$log"
		cannot unit "make check did not get to the tests"
		return
	fi
	grep -E '^(FAIL|ERROR|XPASS): ' "$log" || true
	count unit "$(automake_sum PASS "$log")" $(($(automake_sum FAIL "$log") + $(automake_sum ERROR "$log") + $(automake_sum XPASS "$log"))) \
		"$(automake_sum SKIP "$log")"
}

# server_program PROGRAM: one of SERVER_TESTS. It gets a scratch database of cell A's primary, whose commits wait for the
# replicas as in life. And a memcached of its own: the stack's programs write into theirs what test_token_list writes.
server_program() (
	secrets=$ROOT/.hb/$TEST_NAME/secrets
	mysql=127.0.0.1:$(test_port A-db-east):hb_ctl:$(cat "$secrets/db.hb_ctl"):scratch
	MYSQL_PWD=$(cat "$secrets/db.hb_ctl") mariadb --no-defaults -h 127.0.0.1 -P "$(test_port A-db-east)" -u hb_ctl \
		-e 'CREATE DATABASE IF NOT EXISTS scratch' || true
	export CMOCKA_MESSAGE_OUTPUT=TAP srcdir=$ROOT HB_TEST_MYSQL=$mysql HB_TEST_MQ HB_TEST_MEMCACHED HB_TEST_ETCD
	HB_TEST_MQ=127.0.0.1:$(test_port amqp):hongbao:$(cat "$secrets/mq.hongbao"):hongbao
	HB_TEST_MEMCACHED=127.0.0.1:$(test_port test-cache)
	HB_TEST_ETCD=http://127.0.0.1:$(test_port etcd)
	memcached -l 127.0.0.1 -p "$(test_port test-cache)" -U 0 -m 64 -u "$(id -un)" &
	# shellcheck disable=SC2064 # this very process
	trap "kill $! && wait $! || true" EXIT # the next program's takes the port
	for _ in $(seq 100); do
		if (exec 3<>"/dev/tcp/127.0.0.1/$(test_port test-cache)") 2>/dev/null; then break; fi
		sleep 0.05
	done
	cd "$BUILD" && timeout $((300 * ${HB_SLOW:-1})) "./$1"
)

# Programs that test C modules against the real servers of the stack: SERVER_TESTS of tests/unit.
test_server() {
	local log=$TEST_LOGS/server.log programs program status
	programs=$(make -C "$BUILD" --no-print-directory -s print-server-tests)
	# shellcheck disable=SC2086 # a list of words
	if ! make -C "$BUILD" --no-print-directory -s -j"$(nproc)" $programs >"$log" 2>&1; then
		cannot server "the programs do not build"
		return
	fi
	test_stack || { no_stack server && return; }
	for program in $programs; do
		status=0
		server_program "$program" >"$log.one" 2>&1 || status=$?
		{ echo "== $program: exit $status" && cat "$log.one"; } >>"$log"
		grep -E '^not ok ' "$log.one" || true
		# A program that ended badly without saying which test failed counts as one failure.
		if [ $status != 0 ] && ! grep -q '^not ok ' "$log.one"; then echo "not ok - $program: exit $status" | tee -a "$log"; fi
	done
	rm -f "$log.one"
	count server "$(grep -Ec '^ok [^#]*$' "$log")" "$(grep -c '^not ok ' "$log")" "$(grep -Eic '^ok .*# skip' "$log")"
}

junit_number() { sed -nE "s/.*<testsuite [^>]*\\b$2=\"([0-9]+)\".*/\\1/p" "$1" | head -n 1; }

# lane_next QUEUE: takes the first line away and prints it; fails when there is none.
lane_next() (
	flock 9
	[ -s "$1" ] || exit 1
	head -n 1 "$1"
	sed -i 1d "$1"
) 9>"$1.lock"

# integration_lane NAME: runs files of the queue on the stack NAME until none is left.
integration_lane() {
	local file name
	while file=$(lane_next "$TEST_LOGS/integration.queue"); do
		name=$(basename "$file" .py)
		HB_NAME=$1 HB_TEST_STACK=$ROOT/.hb/$1 HB_TEST_BUILD=$BUILD /usr/bin/python3 -m pytest -q -p no:cacheprovider \
			--junitxml="$TEST_LOGS/integration/$name.xml" "$file" >"$TEST_LOGS/integration/$name.log" 2>&1 || true
	done
}

second_dev() { TEST_NAME=$TEST_NAME-2 TEST_BASE=$((TEST_BASE + 200)) test_dev "$@"; }

# Without its stack the first lane runs all of them.
second_lane() {
	second_dev down --wipe || true
	if second_dev up; then integration_lane "$TEST_NAME-2"; fi
	second_dev down || true
}

# Files that take longest, first, so that both lanes end at about the same time.
INTEGRATION_FIRST='ageing cells failover claim_faults races rain'

# Two lanes, each with a stack of its own, for most tests wait for something. A file that gave no result is a failure.
test_integration() {
	local log=$TEST_LOGS/integration.log folder=$TEST_LOGS/integration name xml total=0 failures=0 skipped=0
	test_stack || { no_stack integration && return; }
	rm -rf "$folder"
	mkdir -p "$folder"
	{
		for name in $INTEGRATION_FIRST; do echo "$ROOT/tests/integration/test_$name.py"; done
		printf '%s\n' "$ROOT"/tests/integration/test_*.py
	} | awk '!seen[$0]++' >"$TEST_LOGS/integration.queue"
	integration_lane "$TEST_NAME" &
	second_lane >"$log" 2>&1 &
	wait
	for name in "$ROOT"/tests/integration/test_*.py; do
		name=$(basename "$name" .py) xml=$folder/$name.xml
		if [ -z "$(junit_number "$xml" tests 2>/dev/null)" ]; then
			cannot integration "$name gave no result" "$folder/$name.log"
			continue
		fi
		grep -E '^(FAILED|ERROR) ' "$folder/$name.log" || true
		total=$((total + $(junit_number "$xml" tests))) skipped=$((skipped + $(junit_number "$xml" skipped)))
		failures=$((failures + $(junit_number "$xml" failures) + $(junit_number "$xml" errors)))
	done
	count integration $((total - failures - skipped)) "$failures" "$skipped"
}

# Node's own runner with TAP, one file at a time, and Debian's Chromium.
test_browser() {
	local log=$TEST_LOGS/browser.log folder=$ROOT/tests/browser
	if [ ! -f "$folder/package.json" ]; then
		say "browser: none"
		return
	fi
	test_stack || { no_stack browser && return; }
	if ! (cd "$folder" && npm ci --no-audit --no-fund) >"$log" 2>&1; then
		cannot browser "npm ci failed"
		return
	fi
	(
		cd "$folder"
		HB_FRONT=$(test_dev url) HB_FINANCE=$(test_dev url finance) HB_OPS=$(test_dev url ops) HB_TEST_STACK=$ROOT/.hb/$TEST_NAME \
			node --test --test-concurrency=1 --test-reporter=tap
	) >>"$log" 2>&1 || true
	if ! grep -q '^# tests [1-9]' "$log"; then
		cannot browser "no test ran"
		return
	fi
	grep -E '^ *not ok ' "$log" || true
	count browser "$(awk '/^# pass /{print $3}' "$log")" "$(awk '/^# (fail|cancelled) /{n += $3} END {print n + 0}' "$log")" \
		"$(awk '/^# (skipped|todo) /{n += $3} END {print n + 0}' "$log")"
}

# campaign_count LOG RUNS NAME: what a campaign said of its runs.
campaign_count() {
	local log=$1 good bad
	good=$(grep -c '^ok seed ' "$log") || true
	bad=$(grep -c '^FAILED seed ' "$log") || true
	if [ $((good + bad)) != "$2" ] && [ "$bad" = 0 ]; then
		cannot "$3" "the campaign did not get to its end" "$log"
		return
	fi
	grep -A 5 '^FAILED seed ' "$log" || true
	count "$3" "$good" "$bad" 0
}

# Five short runs of the campaign of orders, on a stack of its own, for its books are compared to the fen with nothing else in them;
# and one of cells, where network namespaces can be made.
test_chaos() {
	local log=$TEST_LOGS/chaos.log
	# shellcheck disable=SC2034 # of chaos.sh
	CHAOS_NAME=$TEST_NAME-chaos CHAOS_BASE=$((TEST_BASE + 100))
	chaos_orders --runs 5 --seed 4 --short >"$log" 2>&1 || true
	campaign_count "$log" 5 chaos
	test_isolation
	if [ "$(id -u)" != 0 ]; then
		count chaos-cells 0 0 1
		return
	fi
	chaos_cells --runs 1 --seed 1 --short --fault lost-ack >"$TEST_LOGS/chaos-cells.log" 2>&1 || true
	campaign_count "$TEST_LOGS/chaos-cells.log" 1 chaos-cells
}

# Four faults, and what is to be done afterwards.
test_isolation() {
	local log=$TEST_LOGS/isolation.log good bad
	CHAOS_NAME=$TEST_NAME-chaos CHAOS_BASE=$((TEST_BASE + 100)) chaos_isolation --short >"$log" 2>&1 || true
	good=$(grep -c '^ok ' "$log") || true
	bad=$(grep -c '^FAILED ' "$log") || true
	if [ $((good + bad)) != 5 ] && [ "$bad" = 0 ]; then
		cannot isolation "the campaign did not get to its end"
		return
	fi
	grep '^FAILED ' "$log" || true
	count isolation "$good" "$bad" 0
}

# One short round of ./dev bench, one of ./dev bench finance, one of ./dev bench overload: that they work, whatever the speed.
test_bench() {
	bench_smoke bench
	bench_smoke finance finance
	bench_smoke overload overload
}

# bench_smoke NAME [WORD]: of ./dev bench WORD.
bench_smoke() {
	local log=$TEST_LOGS/bench-$1.log
	if ! bench_run "${@:2}" --quick --json >"$TEST_LOGS/bench-$1.json" 2>"$log"; then
		tail -n 3 "$log"
		cannot bench "./dev bench${2:+ $2} --quick failed" "$log"
		return
	fi
	/usr/bin/python3 "$ROOT/tests/load/smoke.py" "${@:2}" <"$TEST_LOGS/bench-$1.json" >>"$log" 2>&1 || true
	grep -E '^not ok ' "$log" || true
	count bench "$(grep -c '^ok ' "$log")" "$(grep -c '^not ok ' "$log")" 0
	if ! grep -q '^ok ' "$log"; then cannot bench "the result could not be read" "$log"; fi
}

TEST_PHASES='unit server integration browser bench chaos sanitize fuzz'

# test_phases PHASE…: refuses what is none before anything is built.
test_phases() {
	local phase
	for phase in "$@"; do [[ " $TEST_PHASES " == *" $phase "* ]] || wrong "test: ${TEST_PHASES// /, }"; done
}

test_all() {
	local phase phases=("$@")
	mkdir -p "$TEST_LOGS"
	[ ${#phases[@]} -gt 0 ] || read -ra phases <<<"$TEST_PHASES"
	for phase in "${phases[@]}"; do "test_$phase"; done
	if [ -n "${TEST_STACK_UP:-}" ]; then test_dev down >>"$TEST_LOGS/stack.log" 2>&1 || cannot stack "did not go down"; fi
	say "$PASSED passed, $FAILED failed$([ $SKIPPED = 0 ] || echo ", $SKIPPED skipped")"
	[ $FAILED = 0 ]
}

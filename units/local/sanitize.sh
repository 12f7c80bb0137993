# shellcheck shell=bash
# sanitize: the tests on programs that watch themselves: AddressSanitizer with LeakSanitizer and UBSan, then
# ThreadSanitizer, each with a build and a stack of its own. Whatever a program of ours says, in a test, as a service or
# while it ends, is a failure. ASan, LSan and TSan write to files; gcc 12's UBSan, beside ASan, only to stderr, which
# is in the logs. Each sanitizer is first heard on a fault made for it (tests/sanitize/canary.c).

SANITIZE_DIR=$ROOT/.hb/sanitize
# name, label (of its build and stack), -fsanitize=, offset of its stack's ports from TEST_BASE, how much slower the tests
# may be, faults of the canary
SANITIZE_KINDS='
address	asan	address,undefined	100	3	overflow leak undefined
thread	tsan	thread	200	5	race'

sanitize_names() { awk -F'\t' 'NF { print $1 }' <<<"$SANITIZE_KINDS"; }

# Sets K_NAME, K_LABEL, K_FLAGS, K_OFFSET, K_SLOW, K_FAULTS, K_LOGS, and what the build and the programs read.
sanitize_use() {
	local supp=$ROOT/tests/sanitize common
	IFS=$'\t' read -r K_NAME K_LABEL K_FLAGS K_OFFSET K_SLOW K_FAULTS < <(grep "^$1"$'\t' <<<"$SANITIZE_KINDS")
	K_LOGS=$SANITIZE_DIR/$K_LABEL
	common=log_path=$K_LOGS/report:log_exe_name=1:exitcode=66
	export ASAN_OPTIONS=$common:detect_stack_use_after_return=1:check_initialization_order=1:strict_string_checks=1
	export LSAN_OPTIONS=suppressions=$supp/leak.supp:print_suppressions=0
	export UBSAN_OPTIONS=print_stacktrace=1
	export TSAN_OPTIONS=$common:suppressions=$supp/thread.supp:print_suppressions=0:second_deadlock_stack=1:history_size=4
	# gcc warns of things that are not there when it sanitizes; the plain build is the one that must be clean.
	export HB_CONFIGURE="--enable-sanitizers=$K_FLAGS --disable-werror CFLAGS=-g"
	export HB_BUILD=$ROOT/build/$K_LABEL
	BUILD=$HB_BUILD
	rm -rf "$K_LOGS"
	mkdir -p "$K_LOGS"
}

# The runtimes want their fixed addresses free, which a kernel with much randomness does not grant.
sanitize_run() {
	if setarch -R true 2>/dev/null; then setarch -R "$@"; else "$@"; fi
}

# The files in which a program has said something; UBSan's words are looked for in the logs named.
sanitize_reports() {
	find "$K_LOGS" -name 'report.*'
	grep -rlI --include='*.log' --include=current --include='@*' ': runtime error: ' "$@" 2>/dev/null || true
}

# Each finding once, with how often and one file to read.
sanitize_show() {
	local file
	for file in "$@"; do
		grep -hE '^SUMMARY: |: runtime error: ' "$file" | sed "s|\$| <- $file|"
	done | awk -F' <- ' '{ if (!n[$1]++) first[$1] = $2 } END { for (s in n) printf "%d\t%s\t%s\n", n[s], s, first[s] }' |
		sort -rn | awk -F'\t' '{ printf "%d × %s\n    %s\n", $1, $2, $3 }'
}

# The canary's faults must be heard.
sanitize_canary() {
	local dir=$K_LOGS fault heard
	"${CC:-gcc}" -g -pthread "-fsanitize=$K_FLAGS" -fno-omit-frame-pointer -o "$dir/canary" "$ROOT/tests/sanitize/canary.c" || return 1
	for fault in $K_FAULTS; do
		(cd "$dir" && sanitize_run ./canary "$fault") >"$dir/canary.log" 2>&1 || true
		mapfile -t heard < <(sanitize_reports "$dir/canary.log")
		if [ ${#heard[@]} = 0 ]; then
			say "not ok - the sanitizer does not report a fault ($fault)"
			return 1
		fi
		rm -f "${heard[@]}"
	done
}

# The unit tests of one sanitizer: only what they need is built. Sets N_PASSED and N_FAILED.
sanitize_unit() {
	local log=$K_LOGS/unit.log reports=()
	N_PASSED=0 N_FAILED=1
	sanitize_canary || return 0
	if ! { (configure_build) && make -C "$BUILD" --no-print-directory -s lib/sql_table.h; } >"$log" 2>&1; then
		say "the build for $K_NAME does not configure: $log"
		return
	fi
	sanitize_run make -C "$BUILD" --no-print-directory -k -j"$(nproc)" ARFLAGS=cr check-TESTS dist_check_SCRIPTS= >>"$log" 2>&1 || true
	if ! grep -q '^# TOTAL:' "$log"; then
		say "the unit tests for $K_NAME do not build: $log"
		return
	fi
	grep -E '^(FAIL|ERROR|XPASS): ' "$log" || true
	mapfile -t reports < <(sanitize_reports "$BUILD/tests")
	sanitize_show "${reports[@]}"
	N_PASSED=$(automake_sum PASS "$log")
	N_FAILED=$(($(automake_sum FAIL "$log") + $(automake_sum ERROR "$log") + $(automake_sum XPASS "$log") + ${#reports[@]}))
}

# A phase of ./dev test: the unit tests with each sanitizer.
test_sanitize() {
	local log=$TEST_LOGS/sanitize.log sums
	(sanitize --short) >"$log" 2>&1 || true
	sums=$(awk '/^(address|thread): [0-9]+ passed, / { p += $2; f += $4; n++ } END { print p + 0, f + 0, n + 0 }' "$log")
	if [ "${sums##* }" != "$(sanitize_names | wc -l)" ]; then
		cannot sanitize "it did not get to the tests"
		return
	fi
	grep -vE '^(address|thread): .* passed, ' "$log" || true
	# shellcheck disable=SC2086 # three numbers
	count sanitize ${sums% *} 0
}

# Unit, server and integration tests with one sanitizer, on a stack built with it.
sanitize_all() {
	local name=$TEST_NAME-$K_LABEL status=0 began=$SECONDS reports=()
	say "== $K_NAME ($K_FLAGS)"
	sanitize_canary || return 1
	if ! "$ROOT/dev" build >"$K_LOGS/build.log" 2>&1; then
		say "$K_NAME: the build failed: $K_LOGS/build.log"
		return 1
	fi
	HB_SLOW=$K_SLOW HB_TEST_LOGS=$K_LOGS HB_TEST_NAME=$name HB_TEST_BASE=$((TEST_BASE + K_OFFSET)) \
		sanitize_run "$ROOT/dev" test unit server integration || status=1
	mapfile -t reports < <(sanitize_reports "$K_LOGS" "$BUILD/tests" "$ROOT/.hb/$name/log")
	sanitize_show "${reports[@]}"
	say "$K_NAME: ${#reports[@]} reports, tests $([ $status = 0 ] && echo passed || echo failed), $((SECONDS - began)) s"
	[ $status = 0 ] && [ ${#reports[@]} = 0 ] && HB_NAME=$name "$ROOT/dev" down --wipe >/dev/null
}

sanitize() {
	local name names=() short='' failed=0
	for name in "$@"; do
		case $name in
		--short) short=yes ;;
		address | thread) names+=("$name") ;;
		*) die "sanitize: address, thread, --short" ;;
		esac
	done
	[ ${#names[@]} -gt 0 ] || mapfile -t names < <(sanitize_names)
	for name in "${names[@]}"; do
		sanitize_use "$name"
		if [ -z "$short" ]; then
			sanitize_all || failed=1
			continue
		fi
		sanitize_unit
		say "$name: $N_PASSED passed, $N_FAILED failed"
		[ "$N_FAILED" = 0 ] || failed=1
	done
	[ $failed = 0 ]
}

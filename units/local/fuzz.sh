# shellcheck shell=bash
# fuzz: the targets of tests/fuzz, built with clang's libFuzzer, ASan and UBSan, one after the other. What is tried starts
# from the kept corpus (tests/fuzz/corpus) and what earlier runs have found on this machine (.hb/fuzz); a finding is an
# input, saved, with the command that repeats it.

FUZZ_DIR=$ROOT/.hb/fuzz
FUZZ_KEPT=$ROOT/tests/fuzz/corpus
FUZZ_BUILD=$ROOT/build/fuzz
FUZZ_SECONDS=600

fuzz_options() {
	export ASAN_OPTIONS=strict_string_checks=1:check_initialization_order=1
	export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
	export LSAN_OPTIONS=suppressions=$ROOT/tests/sanitize/leak.supp:print_suppressions=0
	ASAN_SYMBOLIZER_PATH=$(command -v llvm-symbolizer llvm-symbolizer-14 | head -n 1) && export ASAN_SYMBOLIZER_PATH
}

fuzz_targets() { make -C "$FUZZ_BUILD" --no-print-directory -s print-fuzz-targets | tr ' ' '\n'; }

fuzz_program() { echo "$FUZZ_BUILD/tests/fuzz/fuzz_$1"; }

# The targets and what they need, no more. Warnings are the plain build's business.
fuzz_build() {
	local name names=()
	export HB_CONFIGURE='CC=clang-14 --enable-sanitizers=address,undefined,fuzzer-no-link --disable-werror CFLAGS=-g'
	BUILD=$FUZZ_BUILD
	(configure_build) && make -C "$BUILD" --no-print-directory -s lib/sql_table.h || return 1
	for name in $(fuzz_targets); do names+=("tests/fuzz/fuzz_$name"); done
	make -C "$BUILD" --no-print-directory -s -j"$(nproc)" ARFLAGS=cr "${names[@]}"
}

# fuzz_stat LOG NAME: a number of libFuzzer's last words.
fuzz_stat() { awk -v name="stat::$2:" '$1 == name { n = $2 } END { print n + 0 }' "$1"; }

# fuzz_edges LOG first|last: how much of the program was reached with the inputs that were there, and at the end.
fuzz_edges() {
	awk -v which="$2" '$2 == "INITED" || (which == "last" && $3 == "cov:") { for (i = 3; i < NF; i++) if ($i == "cov:") n = $(i + 1) } END { print n + 0 }' "$1"
}

# fuzz_finding TARGET LOG: the input that was saved, and what is to be done with it.
fuzz_finding() {
	local input
	input=$(grep -oE 'Test unit written to .*' "$2" | tail -n 1 | sed 's/Test unit written to //')
	say "FINDING in $1: $(grep -E '^SUMMARY: |runtime error: |"bug"|ERROR: libFuzzer' "$2" | head -n 1)"
	say "  repeat: $(fuzz_program "$1") ${input:-(none was saved: $2)}"
}

# fuzz_one TARGET SECONDS: 0 when nothing was found.
fuzz_one() {
	local name=$1 seconds=$2 work=$FUZZ_DIR/$1 log=$FUZZ_DIR/$1/log status=0 dict=$ROOT/tests/fuzz/$1.dict
	mkdir -p "$work/corpus" "$work/findings"
	(
		fuzz_options
		sanitize_run "$(fuzz_program "$name")" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
			-dict="$dict" -artifact_prefix="$work/findings/" "$work/corpus" "$FUZZ_KEPT/$name"
	) >"$log" 2>&1 || status=$?
	say "$name: $(fuzz_stat "$log" number_of_executed_units) executions in $seconds s," \
		"$(fuzz_edges "$log" first) edges at the start, $(fuzz_edges "$log" last) at the end, exit $status"
	[ $status = 0 ] || fuzz_finding "$name" "$log"
	[ $status = 0 ]
}

# fuzz_again TARGET: the kept corpus once through; every input that ever mattered.
fuzz_again() {
	local log=$FUZZ_DIR/$1/log.kept status=0
	mkdir -p "$FUZZ_DIR/$1/findings"
	(fuzz_options && sanitize_run "$(fuzz_program "$1")" -runs=0 -timeout=10 -artifact_prefix="$FUZZ_DIR/$1/findings/" "$FUZZ_KEPT/$1") \
		>"$log" 2>&1 || status=$?
	[ $status = 0 ] || fuzz_finding "$1" "$log"
	[ $status = 0 ]
}

# fuzz_keep TARGET: the fewest inputs that reach every edge that any has reached become the kept corpus.
fuzz_keep() {
	local work=$FUZZ_DIR/$1 seeds input
	rm -rf "$work/kept"
	mkdir -p "$work/kept" "$work/corpus"
	(fuzz_options && sanitize_run "$(fuzz_program "$1")" -merge=1 -use_counters=0 "$work/kept" "$FUZZ_KEPT/$1" "$work/corpus") >"$work/log.keep" 2>&1 ||
		die "fuzz: $1: the corpus cannot be merged: $work/log.keep"
	# What is no seed already; libFuzzer's names are SHA-1.
	seeds=$(sha1sum "$FUZZ_KEPT/$1"/*.seed | cut -d' ' -f1)
	find "$FUZZ_KEPT/$1" -type f ! -name '*.seed' -delete
	for input in "$work/kept"/*; do
		[[ $seeds == *"${input##*/}"* ]] || cp "$input" "$FUZZ_KEPT/$1/"
	done
	say "$1: $(find "$FUZZ_KEPT/$1" -type f | wc -l) inputs kept"
}

# fuzz_names [TARGET…]: these, or all.
fuzz_names() {
	local name known
	known=$(fuzz_targets)
	for name in "$@"; do grep -qx -- "$name" <<<"$known" || wrong "fuzz: there is no target $name: ${known//$'\n'/, }"; done
	if [ $# -gt 0 ]; then printf '%s\n' "$@"; else echo "$known"; fi
}

fuzz_run() {
	local seconds=$FUZZ_SECONDS keep='' names=() list name failed=0
	while [ $# -gt 0 ]; do
		case $1 in
		--seconds)
			seconds=${2:-}
			[[ $seconds =~ ^[1-9][0-9]{0,5}$ ]] || wrong "fuzz: --seconds N"
			shift
			;;
		--keep) keep=yes ;;
		-*) wrong "fuzz: [TARGET…] [--seconds N] [--keep]" ;;
		*) names+=("$1") ;;
		esac
		shift
	done
	fuzz_build >&2 || die "fuzz: the targets do not build"
	list=$(fuzz_names "${names[@]}") || exit 2
	for name in $list; do
		if [ -n "$keep" ]; then fuzz_keep "$name"; else fuzz_one "$name" "$seconds" || failed=1; fi
	done
	[ $failed = 0 ]
}

# A phase of ./dev test: the kept corpus once through, then ten seconds of each target, as many at once as there are
# processors.
test_fuzz() {
	local log=$TEST_LOGS/fuzz.log good bad
	(fuzz_short) >"$log" 2>&1 || true
	good=$(grep -c '^ok ' "$log") || true
	bad=$(grep -c '^not ok ' "$log") || true
	if [ $((good + bad)) = 0 ]; then
		cannot fuzz "it did not get to the targets"
		return
	fi
	grep -E -A 2 '^not ok |^FINDING ' "$log" || true
	count fuzz "$good" "$bad" 0
}

fuzz_short() {
	local name
	fuzz_build || return 1
	for name in $(fuzz_targets); do
		if fuzz_again "$name"; then echo "ok - $name: the kept corpus"; else echo "not ok - $name: the kept corpus"; fi
	done
	export -f fuzz_short_one fuzz_one fuzz_options fuzz_program fuzz_stat fuzz_edges fuzz_finding sanitize_run say
	export FUZZ_DIR FUZZ_KEPT FUZZ_BUILD ROOT
	fuzz_targets | xargs -P "$(nproc)" -I{} bash -c 'fuzz_short_one {}'
}

fuzz_short_one() {
	if fuzz_one "$1" 10; then echo "ok - $1"; else echo "not ok - $1"; fi
}

# shellcheck shell=bash
# mutants: shows that each defence of tests/mutants.tsv matters. In a copy of the tree (.hb/mutants/tree, with a build of
# its own that is kept) one defence at a time is taken away, what needs it is built again, and the named test must fail,
# after it has passed with nothing taken away. Tests that need servers get a stack of that copy's programs. ./dev chaos planted is
# the same with tests/chaos/planted.tsv, whose test is the campaign.

MUTANTS_TREE=$ROOT/.hb/mutants/tree
MUTANTS_LOG=$ROOT/.hb/mutants/log
MUTANTS_BASE=${HB_MUTANTS_BASE:-$((TEST_BASE + 300))}
MUTANT_TEST_S=400

MUTANTS_TABLE=$ROOT/tests/mutants.tsv

mutants_rows() { grep -v '^#' "$MUTANTS_TABLE"; }

# Sets M_NAME, M_WHAT, M_FILE, M_SED, M_TEST.
mutant_use() { IFS=$'\t' read -r M_NAME M_WHAT M_FILE M_SED M_TEST < <(mutants_rows | grep "^$1"$'\t'); }

mutants_dev() {
	HB_NAME=$TEST_NAME HB_BASE=$MUTANTS_BASE HB_BUILD=$MUTANTS_TREE/build HB_CONFIGURE='--disable-werror CFLAGS=-O1' \
		HB_CONFIG_TEMPLATE=$MUTANTS_TREE/tests/integration/hongbao.cfg.in nice "$MUTANTS_TREE/dev" "$@"
}

planted_run() {
	MUTANTS_TABLE=$1
	mutants_run "${@:2}"
}

# What an interrupted run may have left changed is built again, which only a new time brings about.
mutants_copy() {
	mkdir -p "$MUTANTS_TREE" "$MUTANTS_LOG"
	tar -C "$ROOT" --exclude=./.git --exclude=./.hb --exclude=./build --exclude=node_modules --exclude=autom4te.cache \
		--exclude=__pycache__ -cf - . | tar -C "$MUTANTS_TREE" -xf -
	mutants_rows | cut -f3 | sort -u | (cd "$MUTANTS_TREE" && xargs touch)
	(ROOT=$MUTANTS_TREE BUILD=$MUTANTS_TREE/build HB_CONFIGURE='--disable-werror CFLAGS=-O1' configure_build)
}

mutants_make() { nice make -C "$MUTANTS_TREE/build" --no-print-directory -s -j"$(nproc)" ARFLAGS=cr "$@"; }

is_pytest() { [[ $1 == *.py::* ]]; }
# "campaign …" is that of orders, "cells …" that of cells.
is_campaign() { [[ $1 == campaign\ * || $1 == cells\ * ]]; }

# mutant_campaign FUNCTION ARGUMENT…: a campaign with the copy's programs, on a stack that is gone afterwards, whatever it found.
mutant_campaign() {
	local status=0
	ROOT=$MUTANTS_TREE BUILD=$MUTANTS_TREE/build CHAOS_NAME=$TEST_NAME CHAOS_BASE=$MUTANTS_BASE "$@" || status=$?
	ROOT=$MUTANTS_TREE BUILD=$MUTANTS_TREE/build CHAOS_NAME=$TEST_NAME CHAOS_BASE=$MUTANTS_BASE \
		chaos_dev down --wipe >/dev/null || status=3
	return $status
}

mutants_stack() {
	[ -z "${MUTANTS_UP:-}" ] || return 0
	MUTANTS_UP=yes
	mutants_dev down --wipe >"$MUTANTS_LOG/stack.log" 2>&1 || true
	mutants_dev up >>"$MUTANTS_LOG/stack.log" 2>&1
}

# The programs of the stack that are built from the tree, started again as they are now.
mutants_restart() {
	local sv=$MUTANTS_TREE/.hb/$TEST_NAME/sv
	sv -w 30 restart "$sv"/[AB]-{core,query,worker}-* >/dev/null
	TABLES=$MUTANTS_TREE/units/local STACK=$MUTANTS_TREE/.hb/$TEST_NAME BASE=$MUTANTS_BASE wait_for 60 "the front door" front_answers
}

# mutant_try TEST LOG: builds and runs it. 0 it passed, 1 the named case failed, 2 anything else.
mutant_try() {
	local test=$1 log=$2 program=${1%% *} case=${1##* } status=0 kind=orders
	if is_pytest "$test"; then
		mutants_make all >"$log" 2>&1 && mutants_stack && mutants_restart >>"$log" 2>&1 || return 2
		HB_TEST_STACK=$MUTANTS_TREE/.hb/$TEST_NAME HB_TEST_BUILD=$MUTANTS_TREE/build timeout $MUTANT_TEST_S \
			/usr/bin/python3 -m pytest -q -p no:cacheprovider "$MUTANTS_TREE/tests/integration/$test" >>"$log" 2>&1 || status=$?
		if [ $status -gt 1 ]; then return 2; fi
		return $status
	fi
	if is_campaign "$test"; then
		if [ "${test%% *}" = cells ]; then kind=cells; fi
		# shellcheck disable=SC2086 # a list of words
		mutants_make all >"$log" 2>&1 && mutant_campaign "chaos_$kind" ${test#* } >>"$log" 2>&1 || status=$?
		# Only what a run found counts: a stack that did not come up says nothing.
		if [ $status != 0 ] && ! grep -q '^FAILED seed ' "$log"; then return 2; fi
		return $status
	fi
	mutants_make "tests/unit/$program" >"$log" 2>&1 || return 2
	if [[ " $MUTANTS_SERVER_TESTS " == *" tests/unit/$program "* ]]; then
		mutants_stack || return 2
		ROOT=$MUTANTS_TREE BUILD=$MUTANTS_TREE/build TEST_BASE=$MUTANTS_BASE server_program "tests/unit/$program" \
			>>"$log" 2>&1 || status=$?
	else
		CMOCKA_MESSAGE_OUTPUT=TAP timeout 300 "$MUTANTS_TREE/build/tests/unit/$program" >>"$log" 2>&1 || status=$?
	fi
	if [ $status = 0 ] && grep -q "^ok .* - $case\$" "$log"; then return 0; fi
	# A program that an assertion ended, or that hangs, says nothing more of the case that it was in.
	if grep -q "^not ok .* - $case\$" "$log" || { [ $status -ge 124 ] && ! grep -q "^ok .* - $case\$" "$log"; }; then return 1; fi
	return 2
}

mutant_test_name() {
	if is_campaign "$M_TEST"; then echo "the campaign ($(grep -A 1 '^FAILED seed ' "$MUTANTS_LOG/$M_NAME.log" | tail -n 1 | xargs))"; else echo "${M_TEST##* }"; fi
}

mutant_restore() {
	cp "$ROOT/$M_FILE" "$MUTANTS_TREE/$M_FILE"
}

# mutant_kill: the defence away, the test, the defence back. True when the test noticed.
mutant_kill() {
	local status=0
	sed -Ez -i "$M_SED" "$MUTANTS_TREE/$M_FILE"
	if cmp -s "$ROOT/$M_FILE" "$MUTANTS_TREE/$M_FILE"; then
		M_WHY='nothing was taken away: the expression does not fit any more'
		return 1
	fi
	mutant_try "$M_TEST" "$MUTANTS_LOG/$M_NAME.log" || status=$?
	mutant_restore
	case $status in
	0) M_WHY="$M_TEST does not notice" ;;
	2) M_WHY="neither passed nor failed: $MUTANTS_LOG/$M_NAME.log" ;;
	esac
	[ $status = 1 ]
}

mutants_run() {
	local name names=("$@") killed=0 failed=0 M_NAME M_WHAT M_FILE M_SED M_TEST M_WHY
	local -A whole=()
	[ ${#names[@]} -gt 0 ] || mapfile -t names < <(mutants_rows | cut -f1)
	for name in "${names[@]}"; do
		mutants_rows | cut -f1 | grep -qx "$name" || die "mutants: $(mutants_rows | cut -f1 | tr '\n' ' ')"
	done
	TEST_NAME=mutants
	mutants_copy
	MUTANTS_SERVER_TESTS=$(make -C "$MUTANTS_TREE/build" --no-print-directory -s print-server-tests)
	for name in "${names[@]}"; do
		mutant_use "$name"
		if [ -z "${whole[$M_TEST]:-}" ]; then
			whole[$M_TEST]=passes
			mutant_try "$M_TEST" "$MUTANTS_LOG/whole.log" || {
				whole[$M_TEST]=fails
				cp "$MUTANTS_LOG/whole.log" "$MUTANTS_LOG/$name.whole.log"
			}
		fi
		if [ "${whole[$M_TEST]}" = fails ]; then
			say "not ok $name: $M_TEST does not pass with nothing taken away: $MUTANTS_LOG"
			failed=$((failed + 1))
		elif mutant_kill; then
			say "ok $name: without \"$M_WHAT\" $(mutant_test_name) fails"
			killed=$((killed + 1))
		else
			say "not ok $name: $M_WHY"
			failed=$((failed + 1))
		fi
	done
	if [ -n "${MUTANTS_UP:-}" ]; then mutants_dev down --wipe >>"$MUTANTS_LOG/stack.log" 2>&1 || failed=$((failed + 1)); fi
	say "$killed defences matter, $failed not shown"
	[ $failed = 0 ]
}

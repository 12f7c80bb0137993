# Makes the C table of the named statements (sql/README.md says how they are written).
# header=1 prints the enum and the declaration, header=0 the rows. Any awk. A statement is read
# character by character, because comments, white space, `?` and `;` mean nothing inside quotes.

function fail(where, what) {
	printf "%s: %s\n", where, what > "/dev/stderr"
	failed = 1
	exit 1
}

function here() {
	return FILENAME ":" FNR
}

function begin_statement(new) {
	if (name != "")
		fail(here(), "\"" name "\" is not ended by a ; at the end of a line")
	if (new !~ /^[a-z][a-z0-9_]*$/)
		fail(here(), "\"" new "\" is no name (a-z, 0-9 and _)")
	if (new in place)
		fail(here(), "\"" new "\" is defined at " place[new] " already")
	name = new
	place[name] = here()
	text = ""
	quote = ""
	params = 0
	ended = 0
}

function end_statement() {
	sub(/ $/, "", text)
	if (text == "")
		fail(here(), "\"" name "\" is empty")
	names[++count] = name
	texts[name] = text
	wants[name] = params
	name = ""
}

# One character outside quotes.
function plain(c) {
	if (ended)
		fail(here(), "\"" name "\" goes on after its ;")
	if (c == ";") {
		ended = 1
		return
	}
	if (c == " ") {
		if (text != "" && text !~ / $/)
			text = text c
		return
	}
	if (c == "?")
		params++
	if (c == "'" || c == "\"" || c == "`")
		quote = c
	text = text c
}

function read_line(line,    i, c) {
	gsub(/[\t\r]/, " ", line)
	for (i = 1; i <= length(line); i++) {
		c = substr(line, i, 1)
		if (quote == "") {
			if (substr(line, i) ~ /^--( |$)/)
				break
			if (c == " " && ended)
				continue
			plain(c)
			continue
		}
		text = text c
		if (c == "\\" && quote != "`")
			text = text substr(line, ++i, 1)
		else if (c == quote)
			quote = ""
	}
	if (quote != "")
		fail(here(), "a quote in \"" name "\" does not end on its line")
	if (ended)
		end_statement()
	else
		plain(" ")
}

# gsub and backslashes differ between awks, so by hand.
function escaped(s,    i, c, out) {
	for (i = 1; i <= length(s); i++) {
		c = substr(s, i, 1)
		out = out (c == "\\" || c == "\"" ? "\\" : "") c
	}
	return out
}

function print_header(    i) {
	print "/* Made by sql/gen.awk from sql/statements: do not edit. */"
	print "#ifndef HB_SQL_TABLE_H"
	print "#define HB_SQL_TABLE_H\n"
	print "typedef enum {"
	for (i = 1; i <= count; i++)
		print "\tSQL_" toupper(names[i]) ","
	print "\tSQL_COUNT"
	print "} sql_id;\n"
	print "struct sql_row {"
	print "\tconst char *name, *text;"
	print "\tunsigned params;"
	print "};\n"
	print "extern const struct sql_row sql_table[SQL_COUNT];\n"
	print "#endif"
}

function print_rows(    i) {
	print "/* Made by sql/gen.awk from sql/statements: do not edit. */"
	print "#include \"sql_table.h\"\n"
	print "const struct sql_row sql_table[SQL_COUNT] = {"
	for (i = 1; i <= count; i++)
		printf "\t{\"%s\", \"%s\", %d},\n", names[i], escaped(texts[names[i]]), wants[names[i]]
	print "};"
}

FNR == 1 && name != "" {
	fail(place[name], "\"" name "\" is not ended by a ; at the end of a line")
}
/^-- name:/ {
	sub(/^-- name:[ \t]*/, "")
	sub(/[ \t\r]+$/, "")
	begin_statement($0)
	next
}
name != "" {
	read_line($0)
	next
}
/^[ \t\r]*(--.*)?$/ {
	next
}
{
	fail(here(), "text outside of any named statement")
}
END {
	if (failed)
		exit 1
	if (name != "")
		fail(place[name], "\"" name "\" is not ended by a ; at the end of a line")
	if (count == 0)
		fail("sql/statements", "no statements")
	if (header)
		print_header()
	else
		print_rows()
}

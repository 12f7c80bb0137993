/* Each row is arithmetic on two numbers, how many packets of a chain are sent a second. So whoever expects
 * twice the traffic changes these and nothing else, and nginx, the programs and what they open to others
 * move together. Limits of a user do not depend on them: a person is no faster when there are more. */
#include "domain/capacity.h"

#include "domain/db_users.h"
#include <inttypes.h>
#include <string.h>

typedef enum { NOTHING, THREADS, CONNECTIONS } share_of;

typedef struct {
	routes_id route;
	int64_t c2c, b2c; /* requests for each 1,000 packets */
	int64_t user_per_s, user_burst;
	unsigned places; /* percent */
	share_of of;
} interface_row;

/* By route; that no route is missing tells the test. */
static const interface_row interfaces[ROUTES_COUNT] = {
#define INTERFACE(route, c2c, b2c, rate, burst, places, of)                                        \
	[ROUTES_ID_##route] = {ROUTES_ID_##route, c2c, b2c, rate, burst, places, of},
#define OUTBOUND(id, module, what, c2c, b2c, percent, option, ms)
#include "domain/capacity.def"
#undef INTERFACE
#undef OUTBOUND
};

enum { CONF_NONE = -1, PER_PACKETS = 1000, PERCENT = 100 };

static const struct outbound_row {
	const char *module, *what;
	int64_t c2c, b2c, percent;
	int option; /* conf_id, or CONF_NONE */
	int64_t held_ms;
} outbound[] = {
#define INTERFACE(route, c2c, b2c, rate, burst, places, of)
#define OUTBOUND(id, module, what, c2c, b2c, percent, option, ms)                                  \
	{module, what, c2c, b2c, percent, CONF_##option, ms},
#include "domain/capacity.def"
#undef INTERFACE
#undef OUTBOUND
};
enum { OUTBOUND_ROWS = sizeof(outbound) / sizeof(outbound[0]) };

static int64_t rounded_up(int64_t n, int64_t by)
{
	return (n + by - 1) / by;
}

static int64_t at_peak(const conf_t *c, int64_t c2c, int64_t b2c)
{
	return rounded_up(c2c * conf_i(c, CONF_CAPACITY_C2C) + b2c * conf_i(c, CONF_CAPACITY_B2C),
		PER_PACKETS);
}

int64_t capacity_expected(const conf_t *c, routes_id route)
{
	return at_peak(c, interfaces[route].c2c, interfaces[route].b2c);
}

static int64_t larger(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

capacity_rate capacity_of_cell(const conf_t *c, routes_id route)
{
	const int64_t by_traffic =
		rounded_up(capacity_expected(c, route) * conf_i(c, CONF_LIMITS_HEADROOM), PERCENT);
	const int64_t per_s = larger(by_traffic, conf_i(c, CONF_LIMITS_LEAST));

	return (capacity_rate){
		per_s, larger(1, per_s * conf_i(c, CONF_LIMITS_BURST_MS) / PER_PACKETS)};
}

capacity_rate capacity_of_address(const conf_t *c, routes_id route)
{
	const int64_t per_s =
		capacity_of_cell(c, route).per_s * conf_i(c, CONF_LIMITS_ADDRESS_PERCENT) / PERCENT;

	return (capacity_rate){per_s, conf_i(c, CONF_LIMITS_ADDRESS_USERS)};
}

capacity_rate capacity_of_user(const conf_t *c, routes_id route)
{
	const int64_t percent = conf_i(c, CONF_LIMITS_USER_PERCENT);
	const interface_row *row = &interfaces[route];

	return (capacity_rate){rounded_up(row->user_per_s * percent, PERCENT),
		rounded_up(row->user_burst * percent, PERCENT)};
}

unsigned capacity_places(routes_id route, unsigned threads, unsigned connections)
{
	const interface_row *row = &interfaces[route];

	if (row->of == NOTHING)
		return 0;
	return (unsigned)rounded_up(
		row->places * (row->of == THREADS ? threads : connections), PERCENT);
}

static int64_t done_per_s(const conf_t *c, const struct outbound_row *row)
{
	return rounded_up(at_peak(c, row->c2c, row->b2c) * row->percent, PERCENT);
}

/* What the option must be: a rate, or as many as are under way at that rate. */
static int64_t needed(const conf_t *c, const struct outbound_row *row)
{
	const int64_t per_s = done_per_s(c, row);

	return larger(1, row->held_ms ? rounded_up(per_s * row->held_ms, PER_PACKETS) : per_s);
}

/* What a member gives to all users of programs together. */
static bool check_connections(const conf_t *c, const topology_t *t, FILE *to)
{
	const int64_t has = conf_i(c, CONF_DB_MEMBER_CONNECTIONS);
	int64_t need = DB_USERS_OTHERS;

	for (unsigned i = 0; i < DB_USERS_COUNT; i++)
		need += db_users_given(c, t, (db_users_id)i);
	if (need <= has)
		return true;
	fprintf(to, "%s is %" PRId64 ", but", conf_name(CONF_DB_MEMBER_CONNECTIONS), has);
	for (unsigned i = 0; i < DB_USERS_COUNT; i++)
		fprintf(to, " %s needs %" PRId64 ",", db_users_name((db_users_id)i),
			db_users_given(c, t, (db_users_id)i));
	fprintf(to, " hbctl and replicas %d: %" PRId64 "\n", DB_USERS_OTHERS, need);
	return false;
}

bool capacity_check(const conf_t *c, const topology_t *t, FILE *to)
{
	bool enough = check_connections(c, t, to);

	for (unsigned i = 0; i < OUTBOUND_ROWS; i++) {
		const struct outbound_row *row = &outbound[i];

		if (row->option == CONF_NONE || conf_i(c, (conf_id)row->option) >= needed(c, row))
			continue;
		enough = false;
		fprintf(to, "%s is %" PRId64 ", but %" PRId64 " %s/s to %s need %" PRId64 "\n",
			conf_name((conf_id)row->option), conf_i(c, (conf_id)row->option),
			done_per_s(c, row), row->what, row->module, needed(c, row));
	}
	return enough;
}

void capacity_print_config(const conf_t *c, FILE *to)
{
	const char *open = NULL; /* the name of an option in the group that is open */

	fprintf(to, "# For %" PRId64 " c2c and %" PRId64 " b2c packets a second.\n",
		conf_i(c, CONF_CAPACITY_C2C), conf_i(c, CONF_CAPACITY_B2C));
	for (unsigned i = 0; i < OUTBOUND_ROWS; i++) {
		if (outbound[i].option == CONF_NONE)
			continue;
		const char *name = conf_name((conf_id)outbound[i].option);
		const size_t group = strcspn(name, ".");

		/* libconfig refuses a group that comes twice. */
		if (!open || strncmp(open, name, group + 1) != 0)
			fprintf(to, "%s%.*s: {\n", open ? "};\n" : "", (int)group, name);
		open = name;
		fprintf(to, "  %s = %" PRId64 "; # %s\n", name + group + 1, needed(c, &outbound[i]),
			outbound[i].what);
	}
	fputs("};\n", to);
}

static void print_per_packet(FILE *to, int64_t per_1000)
{
	fprintf(to, per_1000 % PER_PACKETS ? " %.1f |" : " %.0f |", (double)per_1000 / PER_PACKETS);
}

static void print_rate(FILE *to, int64_t per_s)
{
	if (per_s > 0)
		fprintf(to, " %" PRId64, per_s);
	fputs(" |", to);
}

static void print_interface(const conf_t *c, FILE *to, const routes_row *route)
{
	static const char *const program[] = {
		[ROUTES_CORE] = "hb-core", [ROUTES_QUERY] = "hb-query", [ROUTES_RAIN] = "hb-rain"};
	static const char *const of[] = {
		[THREADS] = "of threads", [CONNECTIONS] = "of connections"};
	const interface_row *row = &interfaces[route->id];
	const capacity_rate cell = capacity_of_cell(c, route->id),
			    address = capacity_of_address(c, route->id),
			    user = capacity_of_user(c, route->id);

	fprintf(to, "| %s %s | %s |", route->method, route->pattern, program[route->program]);
	print_per_packet(to, row->c2c);
	print_per_packet(to, row->b2c);
	fprintf(to, " %" PRId64 " |", capacity_expected(c, route->id));
	print_rate(to, route->auth == ROUTES_AUTH_INTERNAL ? 0 : cell.per_s);
	print_rate(to, route->auth == ROUTES_AUTH_INTERNAL ? 0 : address.per_s);
	if (user.per_s > 0)
		fprintf(to, " %" PRId64 ", %" PRId64 " at once |", user.per_s, user.burst);
	else
		fputs(" |", to);
	if (row->of != NOTHING)
		fprintf(to, " %u %% %s |\n", row->places, of[row->of]);
	else
		fputs(" |\n", to);
}

static void print_program(const conf_t *c, FILE *to, routes_program program, const char *name)
{
	int64_t c2c = 0, b2c = 0;

	for (unsigned i = 0; i < ROUTES_COUNT; i++)
		if (routes_table[i].program == program) {
			c2c += interfaces[i].c2c;
			b2c += interfaces[i].b2c;
		}
	fprintf(to, "| %s | requests |", name);
	print_per_packet(to, c2c);
	print_per_packet(to, b2c);
	fprintf(to, " %" PRId64 " | | | |\n", at_peak(c, c2c, b2c));
}

static void print_outbound(const conf_t *c, FILE *to, const struct outbound_row *row)
{
	fprintf(to, "| %s | %s |", row->module, row->what);
	print_per_packet(to, row->c2c);
	print_per_packet(to, row->b2c);
	fprintf(to, " %" PRId64 " | %" PRId64 " |", at_peak(c, row->c2c, row->b2c),
		done_per_s(c, row));
	if (row->option == CONF_NONE)
		fputs(" | |\n", to);
	else
		fprintf(to, " %" PRId64 " | `%s` = %" PRId64 " |\n", needed(c, row),
			conf_name((conf_id)row->option), conf_i(c, (conf_id)row->option));
}

void capacity_print_markdown(const conf_t *c, FILE *to)
{
	fprintf(to,
		"%" PRId64 " c2c and %" PRId64 " b2c packets a second in a cell.\n\n"
		"| interface | program | for a c2c packet | for a b2c packet | expected/s | cell/s "
		"| "
		"address/s | user/s | at work at once |\n"
		"|---|---|---|---|---|---|---|---|---|\n",
		conf_i(c, CONF_CAPACITY_C2C), conf_i(c, CONF_CAPACITY_B2C));
	for (unsigned i = 0; i < ROUTES_COUNT; i++)
		print_interface(c, to, &routes_table[i]);
	fputs("\n| module | what | for a c2c packet | for a b2c packet | comes/s | done/s | needed "
	      "| "
	      "option |\n|---|---|---|---|---|---|---|---|\n",
		to);
	print_program(c, to, ROUTES_CORE, "hb-core");
	print_program(c, to, ROUTES_QUERY, "hb-query");
	print_program(c, to, ROUTES_RAIN, "hb-rain");
	for (unsigned i = 0; i < OUTBOUND_ROWS; i++)
		print_outbound(c, to, &outbound[i]);
}

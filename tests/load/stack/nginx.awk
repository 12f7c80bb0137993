# Adds to nginx's rendered configuration what only the benchmark has: an empty file, an empty FastCGI program, and a door
# to the row-lock baseline. keepalive: as of the claims' upstream. Variables: stack, echo, rowlock, core3, core4 (ports).
function upstream(name, a, b) {
	print "\tupstream " name " {"
	if (b) print "\t\thash $hb_number consistent;"
	print "\t\tserver 127.0.0.1:" a " max_fails=1 fail_timeout=1s;"
	if (b) print "\t\tserver 127.0.0.1:" b " max_fails=1 fail_timeout=1s;"
	print "\t\tkeepalive " keep ";\n\t\tkeepalive_requests 1000000;\n\t}"
}
held { print "}"; held = 0 }
/^\tupstream hb_A_claim/ { claim = 1 }
claim && /keepalive [0-9]+;/ { keep = $2 + 0 }
/^\tupstream hb_ops/ { claim = 0; upstream("bench_echo", echo); upstream("bench_rowlock", core3, core4) }
/location .*claim\$/ { place = $0 }
/^\tlog_format json/ { print "\tlog_format finance '$msec $request_time $status $request_method $request_uri $http_user_agent';" }
/access_log .*finance\.json/ { print "\t\taccess_log " stack "/log/nginx-east/finance.calls finance buffer=32k flush=1s;"; next }
/^\t\tlocation \/v1\/ \{/ {
	print "\t\tlocation = /bench.txt {\n\t\t\taccess_log off;\n\t\t\troot " stack "/www;\n\t\t}"
	print "\t\tlocation = /bench/echo {\n\t\t\tinclude " share "/nginx/params.conf;\n\t\t\tfastcgi_pass bench_echo;\n\t\t}"
}
/^}$/ { held = 1; next } # the last of these closes http
{ print }
END {
	print "\tserver {\n\t\tlisten 127.0.0.1:" rowlock " backlog=4096;\n\t\tserver_name _;\n\t\tclient_max_body_size 16k;\n\t\tclient_body_buffer_size 16k;"
	print "\t\taccess_log " stack "/log/nginx-east/access.json json buffer=32k flush=1s;\n\t\tadd_header X-Request-Id $request_id always;\n\t\tset $hb_slot \"\";"
	print place
	print "\t\t\tset $hb_slot $hb_tail;\n\t\t\tinclude " share "/nginx/params.conf;\n\t\t\tfastcgi_pass bench_rowlock;\n\t\t}\n\t}"
	print "}"
}

#!/bin/bash
# Runs one node of the stack's RabbitMQ in the foreground, or rabbitmqctl: nothing of Debian's own configuration, data or
# cookie is touched, and only the loopback is listened on. With etc/env loaded.
#   rabbitmq.sh run NODE HOST PORT DIST_PORT   the service rabbitmqNODE; NODE is "" or, of three, "-east"
#   rabbitmq.sh ctl COMMAND ARGUMENT…          one of rabbitmqctl, rabbitmq-queues, rabbitmq-diagnostics; -n: of which node
set -euo pipefail

export HOME=$S/data/rabbitmq
export RABBITMQ_CONF_ENV_FILE=/dev/null
export RABBITMQ_ENABLED_PLUGINS_FILE=$S/etc/rabbitmq.plugins
export RABBITMQ_MNESIA_BASE=$HOME/mnesia
PROGRAMS=/usr/lib/rabbitmq/bin

if [ "$1" = ctl ]; then exec "$PROGRAMS/$2" "${@:3}"; fi
export ERL_EPMD_ADDRESS=127.0.0.1
export RABBITMQ_NODENAME=hb${HB_BASE}$2@localhost
export RABBITMQ_NODE_IP_ADDRESS=$3 RABBITMQ_NODE_PORT=$4 RABBITMQ_DIST_PORT=$5
export RABBITMQ_CONFIG_FILE=$S/etc/rabbitmq.conf
export RABBITMQ_LOG_BASE=$S/run/rabbitmq$2
export RABBITMQ_LOGS=-
# What a full queue has refused waits in the queue before it, and is offered again after this (3 minutes by default).
export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false +S 1:1 +SDcpu 1:1 +sbwt none +sbwtdcpu none +sbwtdio none +A 4 -rabbit dead_letter_worker_publisher_confirm_timeout 15000'
# Makes the wrapper exec Erlang, so that runit supervises the server itself.
export RUNNING_UNDER_SYSTEMD=true
exec "$PROGRAMS/rabbitmq-server"

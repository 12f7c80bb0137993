#!/bin/bash
# Runs the stack's RabbitMQ in the foreground: nothing of Debian's own configuration, data or cookie is touched, and
# only the loopback is listened on. Called by the service rabbitmq with etc/env loaded.
set -euo pipefail

mkdir -p "$S/data/rabbitmq"
export HOME=$S/data/rabbitmq
export ERL_EPMD_ADDRESS=127.0.0.1
export RABBITMQ_CONF_ENV_FILE=/dev/null
export RABBITMQ_CONFIG_FILE=$S/etc/rabbitmq.conf
export RABBITMQ_ENABLED_PLUGINS_FILE=$S/etc/rabbitmq.plugins
export RABBITMQ_MNESIA_BASE=$HOME/mnesia
export RABBITMQ_LOG_BASE=$S/run/rabbitmq
export RABBITMQ_LOGS=-
export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false +S 2:2 +A 4'
# Makes the wrapper exec Erlang, so that runit supervises the server itself.
export RUNNING_UNDER_SYSTEMD=true
exec /usr/lib/rabbitmq/bin/rabbitmq-server

bin_PROGRAMS += hb-worker
hb_worker_SOURCES = workers/hb_worker.c workers/role.h workers/consume.c workers/relay.c workers/transfer.c workers/refund.c \
	workers/callback.c workers/inbox.c workers/sweep.c workers/heartbeat.c
hb_worker_LDADD = $(DOMAIN_LIBS)

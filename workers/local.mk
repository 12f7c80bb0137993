bin_PROGRAMS += hb-worker
HB_WORKER_PARTS = workers/alert_text.c workers/alert_text.h workers/role.c workers/role.h workers/consume.c workers/consume.h workers/expand.c workers/expand.h workers/outage.c workers/outage.h \
	workers/rate.c workers/rate.h
hb_worker_SOURCES = workers/hb_worker.c $(HB_WORKER_PARTS) workers/relay.c workers/transfer.c workers/credit.c workers/refund.c \
	workers/callback.c workers/check.c workers/inbox.c workers/sweep.c workers/heartbeat.c
hb_worker_SOURCES += workers/reconcile.c
hb_worker_SOURCES += workers/alert.c workers/watch.c workers/watch.h
hb_worker_SOURCES += workers/age.c
hb_worker_LDADD = $(DOMAIN_LIBS)
EXTRA_DIST += workers/README.md
hb_worker_SOURCES += workers/subsidy.c workers/issue.c workers/sweep.h workers/sweep_subsidy.c workers/rounds.c workers/rounds.h

/* watch: which states hb-worker watch counts, in the order of the labels of METRICS_ORDERS. */
#ifndef HB_WORKERS_WATCH_H
#define HB_WORKERS_WATCH_H

#include "domain/states.h"

/* WATCHED(kind, state, statement) */
#define WATCH_ORDERS                                                                               \
	WATCHED(PACKET, UNPAID, PACKETS)                                                           \
	WATCHED(PACKET, OPEN, PACKETS)                                                             \
	WATCHED(PACKET, REFUNDING, PACKETS)                                                        \
	WATCHED(PAYMENT, PENDING, PAYMENTS)                                                        \
	WATCHED(PAYMENT, CLOSING, PAYMENTS)                                                        \
	WATCHED(PAYMENT, REFUNDING, PAYMENTS)                                                      \
	WATCHED(TRANSFER, PENDING, TRANSFERS)                                                      \
	WATCHED(TRANSFER, REFUSED, TRANSFERS)                                                      \
	WATCHED(REFUND, PENDING, REFUNDS)                                                          \
	WATCHED(REFUND, REFUSED, REFUNDS)                                                          \
	WATCHED(SUBSIDY, USABLE, SUBSIDIES)                                                        \
	WATCHED(WITHDRAWAL, PENDING, WITHDRAWALS)                                                  \
	WATCHED(WITHDRAWAL, REFUSING, WITHDRAWALS)                                                 \
	WATCHED(LEASE, OPEN, LEASES)

#endif

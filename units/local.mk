bin_PROGRAMS += hbctl
hbctl_SOURCES = units/hbctl.c units/verb.h units/audit.c units/audit.h units/campaign.c units/campaign_file.c units/campaign_file.h units/nginx_render.c units/site.c units/site.h units/member.c units/gtid.c units/gtid.h units/cells.c units/schema.c units/fairness.c units/token.c units/config.c units/states.c units/reconcile.c
hbctl_SOURCES += units/orders.c
hbctl_LDADD = $(DOMAIN_LIBS)
EXTRA_DIST += units/local
hbctl_SOURCES += units/subsidies.c

# What `make install` puts in place besides the programs; docs/install.md. The scripts and units name /usr, /etc and /var themselves: another prefix is for
# packaging (DESTDIR) and for looking.
BUILT_EXAMPLE = units/production/hongbao.cfg
$(BUILT_EXAMPLE): hbctl
	$(AM_V_GEN)mkdir -p units/production && ./hbctl config example >$@.tmp && mv $@.tmp $@
all-local: $(BUILT_EXAMPLE)
CLEANFILES += $(BUILT_EXAMPLE)

hbetcdir = $(sysconfdir)/hongbao
hblibdir = $(prefix)/lib/hongbao
unitdir = $(prefix)/lib/systemd/system
# What stands whole below $(pkgdatadir).
SHARED_FILES = cd $(srcdir) && find nginx sql/migrations web -type f ! -name README.md
# Installed so that nobody but its owner may change it, and everybody may read it.
PUT = $(INSTALL_DATA) -D

install-data-local: $(BUILT_EXAMPLE)
	($(SHARED_FILES)) | while read -r file; do $(PUT) "$(srcdir)/$$file" "$(DESTDIR)$(pkgdatadir)/$$file" || exit 1; done
	$(PUT) $(srcdir)/units/production/mariadb.cnf $(DESTDIR)$(pkgdatadir)/mariadb.cnf
	$(PUT) $(srcdir)/units/local/users.sql.in $(DESTDIR)$(pkgdatadir)/users.sql.in
	$(PUT) $(srcdir)/units/local/flags.cfg $(DESTDIR)$(pkgdatadir)/flags.cfg
	$(PUT) $(srcdir)/units/production/etc/member.cnf $(DESTDIR)$(pkgdatadir)/examples/member.cnf
	$(PUT) $(srcdir)/units/production/examples/tls.conf $(DESTDIR)$(pkgdatadir)/examples/tls.conf
	$(PUT) $(srcdir)/units/production/examples/redirect.conf $(DESTDIR)$(pkgdatadir)/examples/redirect.conf
	$(PUT) $(srcdir)/units/watch/alerts.yml $(DESTDIR)$(pkgdatadir)/watch/alerts.yml
	$(PUT) $(srcdir)/units/watch/dashboard.json $(DESTDIR)$(pkgdatadir)/watch/dashboard.json
	$(PUT) $(BUILT_EXAMPLE) $(DESTDIR)$(hbetcdir)/hongbao.cfg
	$(PUT) $(srcdir)/units/production/etc/topology.cfg $(DESTDIR)$(hbetcdir)/topology.cfg
	$(PUT) $(srcdir)/units/production/site.env $(DESTDIR)$(hbetcdir)/site.env
	$(PUT) $(srcdir)/units/production/logrotate $(DESTDIR)$(sysconfdir)/logrotate.d/hongbao
	$(PUT) $(srcdir)/units/production/sysusers.conf $(DESTDIR)$(prefix)/lib/sysusers.d/hongbao.conf
	$(PUT) $(srcdir)/units/production/tmpfiles.conf $(DESTDIR)$(prefix)/lib/tmpfiles.d/hongbao.conf
	$(INSTALL_SCRIPT) -D $(srcdir)/units/production/run.sh $(DESTDIR)$(hblibdir)/run
	$(INSTALL_SCRIPT) -D $(srcdir)/units/production/site.sh $(DESTDIR)$(hblibdir)/site
	(cd $(srcdir)/units/production/systemd && find . -type f) | while read -r file; do \
		$(PUT) "$(srcdir)/units/production/systemd/$$file" "$(DESTDIR)$(unitdir)/$$file" || exit 1; done

uninstall-local:
	rm -rf $(DESTDIR)$(pkgdatadir) $(DESTDIR)$(hbetcdir) $(DESTDIR)$(hblibdir)
	rm -f $(DESTDIR)$(sysconfdir)/logrotate.d/hongbao $(DESTDIR)$(prefix)/lib/sysusers.d/hongbao.conf $(DESTDIR)$(prefix)/lib/tmpfiles.d/hongbao.conf
	(cd $(srcdir)/units/production/systemd && find . -type f) | while read -r file; do rm -f "$(DESTDIR)$(unitdir)/$$file"; done

EXTRA_DIST += units/production
